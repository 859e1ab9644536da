"""Which stages are stale and why, from DVC and from the digests of the code, and the plan of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from flows import dvc
from pipeline.core.code_digest import Code, changes
from pipeline.core.layout import CODE_ROOT, Layout

_MAX_CAUSES = 4
_CODE_PREFIX = "artifacts/code/"
CODE_STAGE = "code"
"""Stage that writes the code digests. A run of it does not by itself make other stages stale."""


@dataclass(frozen=True)
class StaleReason:
    """Why a stage is stale. ``definitions``: changed ones, if they are known. ``others``: all causes besides code."""

    is_code_changed: bool = False
    definitions: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def is_code_only(self) -> bool:
        """Whether nothing but code has changed, as after an upgrade."""
        return self.is_code_changed and not self.others

    def __str__(self) -> str:
        code = f"code changed: {_shortened(self.definitions)}" if self.definitions else "code changed"
        return ", ".join([code] * self.is_code_changed + [_shortened(self.others)] * bool(self.others))


def read_reasons(root: Path, stage: str | None = None) -> dict[str, StaleReason]:
    """Stale stage -> reason, from ``dvc status`` and from the current code. ``stage``: None for all stages.

    Raises TemporaryDvcError while another DVC process holds a lock, DvcError if DVC fails.
    """
    status = json.loads(dvc.query(root, "status", "--json", *([stage] if stage else [])))
    lock_path = root / "dvc.lock"
    lock = yaml.safe_load(lock_path.read_text()) if lock_path.is_file() else None
    known = (lock or {}).get("stages", {})
    found = {name: explain(entries, name in known) for name, entries in status.items()}
    code = read_changed_definitions(root)
    for name in known.keys() if stage is None else known.keys() & {stage}:
        if changed := code.get(name.split("@")[0]):
            found[name] = StaleReason(True, changed, found[name].others if name in found else ())
    return found


def read_changed_definitions(root: Path) -> dict[str, tuple[str, ...]]:
    """Stage -> the definitions that changed since its digest in ``artifacts/code`` was written.

    DVC detects these changes only after the stage ``code`` has run. Stages without a digest are left out.
    """
    layout, code = Layout(root), Code(CODE_ROOT)
    changed: dict[str, tuple[str, ...]] = {}
    for name in code.stages():
        path = layout.code_path(name)
        if path.is_file() and (found := changes(path.read_text(), code.digest(name))):
            changed[path.relative_to(root).as_posix()] = tuple(found)
    stages = yaml.safe_load((root / "dvc.yaml").read_text())["stages"] if changed else {}
    return {
        name: changed[dep]
        for name, stage in stages.items()
        for dep in stage.get("do", stage).get("deps", [])
        if dep in changed
    }


def explain(entries: list[Any], has_run: bool = True) -> StaleReason:
    """The reason in one stage's entry of ``dvc status --json``. ``has_run``: whether ``dvc.lock`` lists the stage."""
    if not has_run:
        return StaleReason(others=("has not run in this checkout",))
    is_code_changed = False
    others: list[str] = []
    for entry in entries:
        if isinstance(entry, str):  # "changed command", "always changed"
            others.append(entry)
            continue
        for path, change in entry.get("changed deps", {}).items():
            if isinstance(change, Mapping):
                others += [f"parameter {key} {how}" for key, how in change.items()]
            elif path.startswith(_CODE_PREFIX):
                is_code_changed = True
            else:
                others.append(f"{path} {change}")
        others += [f"output {path} {how}" for path, how in entry.get("changed outs", {}).items()]
    return StaleReason(is_code_changed, (), tuple(others))


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


def plan(graph: dvc.StageGraph, reasons: Mapping[str, StaleReason]) -> list[PlanRow]:
    """The action of every stage in running order. ``reasons``: stale stage -> reason, from `read_reasons`."""
    rows: dict[str, PlanRow] = {}
    for stage in (stage for wave in graph.waves() for stage in wave):
        before = [b for b in graph.upstream[stage] if rows[b].action != "-" and b != CODE_STAGE]
        if stage in reasons:
            rows[stage] = PlanRow(stage, "run", str(reasons[stage]))
        elif before:
            rows[stage] = PlanRow(stage, "follow", f"after {', '.join(before)}")
        else:
            rows[stage] = PlanRow(stage, "-", "up to date")
    return list(rows.values())


def only_code_changed(graph: dvc.StageGraph, reasons: Mapping[str, StaleReason]) -> bool:
    """Whether stages of the graph are stale, and all of them because of changed code alone, as after an upgrade."""
    found = [reasons[stage] for stage in graph.upstream if stage in reasons and stage != CODE_STAGE]
    return bool(found) and all(reason.is_code_only for reason in found)
