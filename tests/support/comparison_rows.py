"""Rows of a comparison with known scores, and their differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.compare.seeds import averaged
from pipeline.metrics.fitness import fitness_of_rows


def row(variant: str, lse_d: float, lse_c: float, fid: float = 20.0, **more: Any) -> dict[str, Any]:
    base = {
        "num_clips": 44,
        "num_failed": 0,
        "num_rejected": 2,
        "within_one_frame": 0.9,
        "kid": 0.01,
        "jitter_ratio": 1.0,
        "opening_correlation": 0.375,
        "pause_motion_px": 0.125,
        "lips_missing": "",
        "versions": {"numpy": "2.1.0"},
    }
    figures = {"variant": variant, "lse_d": lse_d, "lse_c": lse_c, "fid": fid, "fid_num_images": 300}
    return {**figures, **base, **more}


ORDERED = [
    row("real", 6.0, 6.0, 0.0),
    row("lstm_cbam", 6.5, 5.0, 25.0),
    row("no_lstm", 7.0, 4.0),
    row("no_cbam", 7.1, 4.1),
    row("no_lstm_cbam", 7.5, 3.0),
    row("copy_input", 9.0, 1.0, 0.0),
]


def apart(rows: Sequence[Mapping[str, Any]], reach: float = 0.2) -> dict[str, Any]:
    """Differences of all rows, each known to ``reach`` either way."""
    found: dict[str, Any] = {}
    named = list(averaged(rows).items())
    for place, (one, ours) in enumerate(named):
        for other, theirs in named[place + 1 :]:
            means = {key: ours[key] - theirs[key] for key in ("lse_d", "lse_c")}
            figures = {key: [mean, mean - reach, mean + reach, 44] for key, mean in means.items()}
            found.setdefault(one, {})[other] = figures
    return found


def comparison_of(rows: Sequence[Mapping[str, Any]], evaluator: str = "trained", reach: float = 0.2) -> dict[str, Any]:
    """A comparison of the rows, with all differences known to ``reach`` either way."""
    protocol = {"evaluator": evaluator, "evaluator_width": 0.125}
    fitness = vars(fitness_of_rows(averaged(rows), evaluator))
    return {"rows": rows, "differences": apart(rows, reach), "protocol": protocol, "fitness": fitness}
