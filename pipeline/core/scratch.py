"""Scratch folders for unfinished work, which survive a crash: ``.scratch/<stage>/<fingerprint>/``.

The fingerprint covers the parameters, input files and code that ``dvc.yaml`` declares for the stage, so a run never
resumes from the state of a different run. The folder is not an output of DVC. A successful run removes it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.errors import UserError


def declared(root: Path, stage: str, variant: str | None = None) -> tuple[list[Path], list[str]]:
    """The dependencies and parameter keys that ``dvc.yaml`` lists for a stage, with the variant filled in.

    Raises UserError for an unknown stage, and if ``dvc.yaml`` is not valid YAML.
    """
    try:
        stages = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    except yaml.YAMLError as error:
        raise UserError(f"dvc.yaml is not valid YAML: {error}") from None
    if stage not in stages:
        raise UserError(f"dvc.yaml has no stage {stage!r}; it has {', '.join(stages)}")
    body = stages[stage].get("do", stages[stage])

    def fill(text: str) -> str:
        return text.replace("${key}", variant or "").replace("${item}", variant or "")

    return [root / fill(dep) for dep in body["deps"]], [fill(key) for key in body["params"]]


def select(params: Mapping[str, Any], dotted_keys: Iterable[str]) -> dict[str, Any]:
    """Key -> value for keys of the form ``a.b.c``."""
    values: dict[str, Any] = {}
    for dotted in dotted_keys:
        value: Any = params
        for part in dotted.split("."):
            value = value[part]
        values[dotted] = value
    return values


def digest_paths(paths: Iterable[Path], root: Path) -> str:
    """Hex SHA-256 over the names and contents of files.

    A folder stands for all files below it, without ``__pycache__``. Raises UserError for a path that does not exist.
    """
    digest = hashlib.sha256()
    files: set[Path] = set()
    for path in paths:
        if path.is_dir():
            files.update(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
        elif path.is_file():
            files.add(path)
        else:
            raise UserError(f"{path} does not exist; `dvc repro` creates the inputs of a stage")
    for file in sorted(files):
        digest.update(file.relative_to(root).as_posix().encode())
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def fingerprint(root: Path, stage: str, variant: str | None, params: Mapping[str, Any]) -> str:
    """16 hex digits that identify a computation by its parameters and input files."""
    deps, keys = declared(root, stage, variant)
    content = json.dumps([stage, variant, select(params, keys)], sort_keys=True, default=str)
    return hashlib.sha256((content + digest_paths(deps, root)).encode()).hexdigest()[:16]


def open_scratch(scratch_dir: Path, name: str, fingerprint_hex: str) -> Path:
    """Create and return the folder of a computation. Folders of the stage's other fingerprints are removed."""
    base = scratch_dir / name
    folder = base / fingerprint_hex
    folder.mkdir(parents=True, exist_ok=True)
    for other in base.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    return folder
