"""Which stages are stale and why, from DVC and from the digests of the code, and the plan of a run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from flows import dvc
from pipeline.core.code_digest import Code, changes
from pipeline.core.layout import CODE_ROOT, Layout

_MAX_CAUSES = 4
_CODE_PREFIX = "artifacts/code/"
_CODE = "code changed"
_NOT_CODE = re.compile(r", (parameter |output |changed command|always changed|\S*/\S* (modified|deleted|new)\b)")
CODE_STAGE = "code"
"""Stage that writes the code digests. A run of it does not by itself make other stages stale."""


def read_reasons(root: Path, stage: str | None = None) -> dict[str, str]:
    """Stale stage -> reason, from ``dvc status`` and from the current code. ``stage``: None for all stages.

    Raises TemporaryDvcError while another DVC process holds a lock, DvcError if DVC fails.
    """
    status = json.loads(dvc.query(root, "status", "--json", *([stage] if stage else [])))
    lock_path = root / "dvc.lock"
    lock = yaml.safe_load(lock_path.read_text()) if lock_path.is_file() else None
    known = (lock or {}).get("stages", {})
    found = {name: explain(entries, name in known) for name, entries in status.items()}
    code = read_code_reasons(root)
    for name in known.keys() if stage is None else known.keys() & {stage}:
        if why := code.get(name.split("@")[0]):
            found[name] = ", ".join([why, *([found[name]] if name in found else [])])
    return found


def read_code_reasons(root: Path) -> dict[str, str]:
    """Stage -> reason that names the definitions changed since its digest in ``artifacts/code`` was written.

    DVC detects these changes only after the stage ``code`` has run. Stages without a digest are left out.
    """
    layout, code = Layout(root), Code(CODE_ROOT)
    changed: dict[str, list[str]] = {}
    for name in code.stages():
        path = layout.code_path(name)
        if path.is_file() and (found := changes(path.read_text(), code.digest(name))):
            changed[path.relative_to(root).as_posix()] = found
    stages = yaml.safe_load((root / "dvc.yaml").read_text())["stages"] if changed else {}
    return {
        name: f"{_CODE}: {_shortened(changed[dep])}"
        for name, stage in stages.items()
        for dep in stage.get("do", stage).get("deps", [])
        if dep in changed
    }


def explain(entries: list[Any], has_run: bool = True) -> str:
    """One stage's entry of ``dvc status --json`` as text. ``has_run``: whether ``dvc.lock`` lists the stage."""
    if not has_run:
        return "has not run in this checkout"
    causes: list[str] = []
    for entry in entries:
        if isinstance(entry, str):  # "changed command", "always changed"
            causes.append(entry)
            continue
        for path, change in entry.get("changed deps", {}).items():
            if isinstance(change, Mapping):
                causes += [f"parameter {key} {how}" for key, how in change.items()]
            elif path.startswith(_CODE_PREFIX):
                causes.append(_CODE)
            else:
                causes.append(f"{path} {change}")
        causes += [f"output {path} {how}" for path, how in entry.get("changed outs", {}).items()]
    return _shortened(causes)


def _shortened(causes: Sequence[str]) -> str:
    shown = [*causes[:_MAX_CAUSES], *([f"and {len(causes) - _MAX_CAUSES} more"] if len(causes) > _MAX_CAUSES else [])]
    return ", ".join(shown)


@dataclass(frozen=True)
class PlanRow:
    """One stage of a plan.

    ``action``: ``run`` (executed, or restored from DVC's run cache), ``follow`` (runs if its inputs change) or ``-``
    (up to date).
    """

    stage: str
    action: Literal["run", "follow", "-"]
    reason: str


def plan(graph: dvc.StageGraph, reasons: Mapping[str, str]) -> list[PlanRow]:
    """The action of every stage in running order. ``reasons``: stale stage -> reason, from `read_reasons`."""
    rows: dict[str, PlanRow] = {}
    for stage in (stage for wave in graph.waves() for stage in wave):
        before = [b for b in graph.upstream[stage] if rows[b].action != "-" and b != CODE_STAGE]
        if stage in reasons:
            rows[stage] = PlanRow(stage, "run", reasons[stage])
        elif before:
            rows[stage] = PlanRow(stage, "follow", f"after {', '.join(before)}")
        else:
            rows[stage] = PlanRow(stage, "-", "up to date")
    return list(rows.values())


def only_code_changed(rows: Iterable[PlanRow]) -> bool:
    """Whether stages run, and all of them because of changed code alone, as after an upgrade."""
    reasons = [row.reason for row in rows if row.action == "run" and row.stage != CODE_STAGE]
    return bool(reasons) and all(why.startswith(_CODE) and not _NOT_CODE.search(why) for why in reasons)
