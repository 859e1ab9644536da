"""The report as Markdown, and a short form for the terminal. Imports little: it must work with broken packages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.doctor.check import Check, Status, worst_first
from pipeline.params import Params
from pipeline.report.tables import Table, bullets


@dataclass(frozen=True)
class DataPart:
    """Results on the data: Markdown paragraphs, hints, metrics for MLflow, and the digest of the data's tables."""

    paragraphs: Sequence[str]
    hints: Sequence[str]
    figures: Mapping[str, float]
    digest: str


@dataclass(frozen=True)
class Examination:
    """All results. ``params`` is None if ``params.yaml`` is not valid, ``data`` if no data could be examined."""

    checks: Sequence[Check]
    params: Params | None = None
    data: DataPart | None = None

    @property
    def num_of(self) -> Mapping[Status, int]:
        """Number of checks per status."""
        return Counter(check.status for check in self.checks)

    @property
    def has_failed(self) -> bool:
        return self.num_of[Status.FAIL] > 0


def doctor_markdown(found: Examination) -> str:
    """``report.md``: the checks of the environment, worst first; the data; hints."""
    parts = ["# Doctor", verdict(found), "## Environment", _check_table(found.checks), "## Data"]
    if found.data is None:
        parts.append("No data were examined. The check `data` above has the cause and the remedy.")
    else:
        parts += [*found.data.paragraphs, "## What to do", bullets(_hints(found.data))]
    return "\n\n".join(parts) + "\n"


def terminal(found: Examination) -> str:
    """The checks, worst first, and the hints as plain text."""
    cells = [
        [check.status, check.name, "\n".join([check.found, *([f"-> {check.remedy}"] if check.remedy else [])])]
        for check in worst_first(found.checks)
    ]
    hints = [] if found.data is None else [bullets(_hints(found.data))]
    return "\n\n".join([Table(["", "", ""], cells, num_text=3).plain(), verdict(found), *hints])


def verdict(found: Examination) -> str:
    """One sentence with the number of checks per status."""
    failed, warned, passed = (found.num_of[status] for status in Status)
    return f"Checks: {failed} failed, {warned} with a warning, {passed} passed."


def _hints(data: DataPart) -> Sequence[str]:
    return data.hints or ["The clips need no change."]


def _check_table(checks: Sequence[Check]) -> str:
    shown = {Status.FAIL: "**fail**", Status.WARN: "**warn**", Status.OK: "ok"}
    cells = [[check.name, shown[check.status], check.found, check.remedy] for check in worst_first(checks)]
    return Table(["check", "status", "found", "what to do"], cells, num_text=4).markdown()
