"""The commands that repeat a comparison: the commit, the profile, and the values that differ from both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.git import git_output
from pipeline.core.layout import Layout
from pipeline.params import Params, ParamsError, parse_params
from pipeline.params.profiles import PROFILES, apply_profile

_NO_RESULT = ("promote", "drift", "share", "weights", "runtime")
"""Sections that change no result."""


def rerun_commands(params: Params, layout: Layout) -> str:
    """The commands that repeat the comparison with ``params`` in a new clone of the project.

    The commit is that of the checkout; without git it is left out. Values that the commit's ``params.yaml`` and the
    profile do not have are comments. Folders of this machine are left out.
    """
    commit = git_output(layout.root, "rev-parse", "HEAD")
    is_changed = bool(git_output(layout.root, "status", "--porcelain", "--untracked-files=no", "--", "*.py"))
    profile = params.profile if params.profile in PROFILES else None
    settings = list(_settings(params, layout, profile))
    lines = [
        "git clone <this project> && cd lipsmith",
        f"git checkout {commit}{'  # its code had uncommitted changes' if is_changed else ''}" if commit else "",
        "make install && . .venv/bin/activate",
        f"python -m pipeline profile {profile}" if profile else "",
        "# then set in params.yaml:" if settings else "",
        *(f"#   {setting}" for setting in settings),
        "dvc repro",
    ]
    return "\n".join(line for line in lines if line)


def _settings(params: Params, layout: Layout, profile: str | None) -> Iterator[str]:
    """The lines on values to set. The demo renders its clips and needs no folder."""
    source = params.dataset.source
    if source != "demo":
        yield f"dataset.{source}.root: the folder of the clips"
    values, base = dict(_values(params.model_dump(mode="json"), source)), _base(layout, profile, source)
    for key, value in values.items():
        if base.get(key, ...) != value:
            yield f"{key}: {_shown(value)}"
    for key in base.keys() - values.keys():
        yield f"{key}: to be removed"


def _base(layout: Layout, profile: str | None, source: str) -> dict[str, Any]:
    """Dotted key -> value in the commit's ``params.yaml`` with the profile; without git, the checkout's own file."""
    text = git_output(layout.root, "show", "HEAD:./params.yaml") or layout.params_path.read_text()
    try:
        if profile:
            text, _ = apply_profile(profile, f"{text}\n")  # type: ignore[arg-type]
        params = parse_params(yaml.safe_load(text))
    except (ParamsError, yaml.YAMLError):  # of another version, which has other keys
        return {}
    return dict(_values(params.model_dump(mode="json"), source))


def _values(section: Any, source: str, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of all settings that can change a result. Items of lists are numbered."""
    if isinstance(section, list):
        section = {str(number): item for number, item in enumerate(section)}
    if not isinstance(section, Mapping):
        yield key, section
        return
    for name, inner in section.items():
        is_other_source = key == "dataset" and isinstance(inner, Mapping) and name != source
        is_of_machine = key == f"dataset.{source}" and name in ("root", "url")
        if not (is_other_source or is_of_machine or (not key and name in _NO_RESULT)):
            yield from _values(inner, source, f"{key}.{name}" if key else str(name))


def _shown(value: Any) -> str:
    """A value as in ``params.yaml``; of a file elsewhere on this machine only its name."""
    if isinstance(value, str):
        return Path(value).name if Path(value).is_absolute() else value
    return json.dumps(value)
