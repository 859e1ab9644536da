"""``python -m pipeline.corpora.drift``: compares the list of clips with that of the champion's promotion."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.core import atomic
from pipeline.core.command_line import RootOption, reported, run_command
from pipeline.core.layout import Layout, find_root
from pipeline.core.logs import log_to_stderr, wants_tracebacks
from pipeline.corpora.manifest import ClipRecord, read_manifest
from pipeline.metrics.drift import ks_distance, psi_of_categories, psi_of_numbers
from pipeline.params import DriftParams, load_params

logger = logging.getLogger(__name__)

MIN_DRIFT_CLIPS = 20
"""Fewer clips on one side are not compared: bins of two clips each differ by chance."""
_NO_BASELINE = (
    "artifacts/promote has no list of the clips of the champion's promotion (the gate has promoted nothing here yet, "
    "another version was made champion by hand, or `make clean` or `make forget` has removed the list)"
)
MAX_P = 0.01
"""A Kolmogorov-Smirnov distance with a larger p-value may be chance and is no drift."""


@dataclass(frozen=True)
class ColumnDrift:
    """Drift of one column. ``ks`` and ``ks_p`` are None for a column of categories."""

    column: str
    psi: float
    ks: float | None
    ks_p: float | None
    drifts: bool


def column_drifts(
    reference: Sequence[ClipRecord], current: Sequence[ClipRecord], limits: DriftParams
) -> list[ColumnDrift]:
    """The drift of the columns speaker, split, file size and number of words. Both lists have at least one clip."""
    found = []
    for column in ("speaker", "split"):
        psi = psi_of_categories(*([getattr(clip, column) for clip in clips] for clips in (reference, current)))
        found.append(ColumnDrift(column, psi, None, None, psi > limits.max_psi))
    for column in ("num_bytes", "num_words"):
        before, now = ([_number(clip, column) for clip in clips] for clips in (reference, current))
        psi, (ks, p) = psi_of_numbers(before, now), ks_distance(before, now)
        found.append(ColumnDrift(column, psi, ks, p, psi > limits.max_psi or (ks > limits.max_ks and p < MAX_P)))
    return found


def _number(clip: ClipRecord, column: str) -> int:
    return len(clip.transcript.split()) if column == "num_words" else clip.num_bytes


def measure(layout: Layout, limits: DriftParams) -> dict[str, Any]:
    """The drift since the champion's promotion: ``text``, ``columns``, and ``stops``, whether not to retrain.

    Raises UserError and DataError as ``read_manifest`` does.
    """
    if not layout.champion_manifest_path.is_file():
        return _report(f"Drift was not measured: {_NO_BASELINE}.", [], False)
    reference, current = read_manifest(layout.champion_manifest_path), read_manifest(layout.manifest_path)
    if min(len(reference), len(current)) < MIN_DRIFT_CLIPS:
        numbers = f"{len(reference)} clips at the champion's promotion, {len(current)} now"
        return _report(f"Drift was not measured: it needs {MIN_DRIFT_CLIPS} clips on each side ({numbers}).", [], False)
    columns = column_drifts(reference, current, limits)
    drifting = [_described(column, limits) for column in columns if column.drifts]
    since = f"since the champion's promotion ({len(reference)} clips then, {len(current)} now)"
    if drifting:
        ending = ", so nothing is retrained (drift.then is refuse)" if limits.then == "refuse" else ""
        return _report(f"The clips drift {since}: {'; '.join(drifting)}{ending}.", columns, limits.then == "refuse")
    ending = ", so nothing is retrained (drift.then is retrain)" if limits.then == "retrain" else ""
    return _report(f"No drift of the clips {since}{ending}.", columns, limits.then == "retrain")


def _described(column: ColumnDrift, limits: DriftParams) -> str:
    text = f"{column.column} has PSI {column.psi:.3f} (limit {limits.max_psi:g})"
    if column.ks is None:
        return text
    return f"{text} and KS {column.ks:.3f} (limit {limits.max_ks:g}, p {column.ks_p:.2g})"


def _report(text: str, columns: Sequence[ColumnDrift], stops: bool) -> dict[str, Any]:
    return {"text": text, "columns": [asdict(column) for column in columns], "stops": stops}


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(_command, argv, "python -m pipeline.corpora.drift")


def _command(
    root: RootOption = None,
) -> int:
    """Compare the list of clips with that of the champion's promotion and write artifacts/promote/drift.json.

    The limits are in params.yaml, section drift.
    """
    log_to_stderr()

    def body() -> int:
        layout = Layout(find_root(root))
        found = measure(layout, load_params(layout.params_path).drift)
        atomic.write_json(layout.drift_path, found)
        logger.info("%s", found["text"])
        return 0

    return reported(body, lambda error: logger.error("%s", error, exc_info=wants_tracebacks()))


if __name__ == "__main__":
    raise SystemExit(main())
