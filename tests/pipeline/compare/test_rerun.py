"""The commands that repeat a comparison."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipeline.compare.rerun import rerun_commands
from pipeline.core.git import git_output
from pipeline.core.layout import Layout
from pipeline.params import load_params
from pipeline.params.edit import replace_values
from pipeline.params.profiles import apply_profile


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Anna", "-c", "user.email=anna@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def layout(tmp_path: Path, repo_root: Path) -> Layout:
    """A commit with the demo's parameters."""
    layout = Layout(tmp_path)
    layout.params_path.write_text(apply_profile("demo", (repo_root / "params.yaml").read_text())[0])
    (tmp_path / "a.py").touch()
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "start"]):
        git(tmp_path, *arguments)
    return layout


def commands(layout: Layout, **values: object) -> list[str]:
    """The commands with these values in ``params.yaml``; two underscores stand for a dot."""
    text = layout.params_path.read_text()
    changed, _ = replace_values(text, {key.replace("__", "."): value for key, value in values.items()})
    layout.params_path.write_text(changed)
    git_output.cache_clear()
    lines = rerun_commands(load_params(layout.params_path), layout).splitlines()
    layout.params_path.write_text(text)
    return lines


def test_values_that_differ_from_the_profile_are_printed_with_the_commit(layout: Layout) -> None:
    commit = git_output(layout.root, "rev-parse", "HEAD")
    start = ["git clone <this project> && cd lipsmith", f"git checkout {commit}"]
    install, profile = "make install && . .venv/bin/activate", "python -m pipeline profile demo"
    assert commands(layout) == [*start, install, profile, "dvc repro"]
    changed = commands(layout, train_gan__num_steps=3000, train_gan__betas__0=0.5, seed=7, runtime__num_jobs=2)
    assert changed == [
        *start,
        install,
        profile,
        "# then set in params.yaml:",
        "#   seed: 7",
        "#   train_gan.num_steps: 3000",
        "#   train_gan.betas.0: 0.5",
        "dvc repro",
    ]


def test_a_value_of_the_commit_that_the_profile_replaces_is_printed(layout: Layout) -> None:
    layout.params_path.write_text(replace_values(layout.params_path.read_text(), {"train_gan.num_steps": 3000})[0])
    git(layout.root, "commit", "-q", "-a", "-m", "longer")
    assert commands(layout)[-3:] == ["# then set in params.yaml:", "#   train_gan.num_steps: 3000", "dvc repro"]


def test_folders_of_this_machine_are_not_printed_and_changed_code_is(layout: Layout) -> None:
    (layout.root / "a.py").write_text("changed")
    weights = {"evaluate__lse__weights": "/home/anna/syncnet_v2.model"}
    found = commands(layout, dataset__source="grid", profile="grid", dataset__grid__root="/home/anna/grid", **weights)
    assert found[1].endswith("  # its code had uncommitted changes")
    assert "python -m pipeline profile grid" in found and "anna" not in "".join(found)
    assert "#   dataset.grid.root: the folder of the clips" in found
    assert "#   evaluate.lse.weights: syncnet_v2.model" in found


def test_without_git_the_values_are_compared_with_the_profile_alone(tmp_path: Path, repo_root: Path) -> None:
    layout = Layout(tmp_path)
    layout.params_path.write_text((repo_root / "params.yaml").read_text())
    found = commands(layout, train_gan__num_steps=3000)
    assert not any("checkout" in line for line in found)
    assert "#   train_gan.num_steps: 3000" in found
