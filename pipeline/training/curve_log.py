"""Rows of a training curve: delivery to a log, and one row per step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

CurveLog = Callable[[Iterable[tuple[int, Mapping[str, float]]]], bool]
"""Logs rows of the curve: pairs of step and scalars. Returns whether all rows logged so far have been delivered."""


class LoggedCurve:
    """Sends the rows of a curve to its log, and counts the delivered rows."""

    def __init__(self, log: CurveLog, num_arrived: int = 0) -> None:
        self._log, self.num_arrived = log, num_arrived

    def send_rest(self, curve: list[dict[str, float]]) -> None:
        """Log the rows that were not delivered yet."""
        rows = curve[self.num_arrived :]
        has_arrived = self._log(
            (int(row["step"]), {name: value for name, value in row.items() if name != "step"}) for row in rows
        )
        if has_arrived:
            self.num_arrived = len(curve)


def merge_rows(curve: list[dict[str, float]]) -> list[dict[str, float]]:
    """One row per step, in order, with the training and validation scalars of that step."""
    merged: dict[float, dict[str, float]] = {}
    for row in curve:
        merged.setdefault(row["step"], {}).update(row)
    return [merged[step] for step in sorted(merged)]
