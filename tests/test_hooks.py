"""The hooks of pre-commit need no network."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
PROVIDED_BY = {"check-": "pre-commit-hooks", "end-of-file-fixer": "pre-commit-hooks", "trailing-": "pre-commit-hooks"}
"""The package of a program with another name, by the start of the program's name."""


def test_every_hook_runs_a_program_of_the_projects_own_environment() -> None:
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["dev"]
    hooks = [hook for repo in repos for hook in repo["hooks"]]
    assert {repo["repo"] for repo in repos} == {"local"}
    assert {hook["language"] for hook in hooks} == {"system"}
    for hook in hooks:
        folder, _, program = hook["entry"].split()[0].rpartition("/")
        package = next((name for start, name in PROVIDED_BY.items() if program.startswith(start)), program)
        assert folder == ".venv/bin"
        assert any(requirement.startswith(f"{package}>=") for requirement in extra), hook["id"]
