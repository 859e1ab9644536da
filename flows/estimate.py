"""How long a run still takes: the durations of earlier runs, and the schedule of the stages that are left."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from pipeline.core import atomic

_writing = threading.Lock()


def read_durations(path: Path) -> dict[str, float]:
    """Stage -> seconds of its last run. Returns an empty dict if the file is missing or holds no durations."""
    try:
        content = json.loads(path.read_text())
        return {str(stage): float(seconds) for stage, seconds in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def record_duration(path: Path, stage: str, seconds: float) -> None:
    """Write the duration of one stage's run and keep those of the others. A failure to write is ignored."""
    with _writing, suppress(OSError):
        atomic.write_json(path, read_durations(path) | {stage: round(seconds, 1)})


def expected_duration(stage: str, last_run: Mapping[str, float], this_run: Mapping[str, float]) -> float | None:
    """Seconds that a stage will take; None if nothing is known.

    ``last_run``: stage -> seconds of its last run, which is taken first. ``this_run``: stage -> seconds of the stages
    that have finished now, or will have taken at their pace; the mean of those of the same kind is taken, such as
    ``train_gan@a`` for ``train_gan@b``.
    """
    if stage in last_run:
        return last_run[stage]
    alike = [seconds for name, seconds in this_run.items() if _kind(name) == _kind(stage)]
    return sum(alike) / len(alike) if alike else None


def progress_left(done: float, left: float, seconds: float) -> float | None:
    """Seconds for the ``left`` units at the pace of the ``done`` units, which took ``seconds``. None without a pace."""
    return left * seconds / done if done > 0 and seconds > 0 else None


def time_to_end(
    upstream: Mapping[str, Iterable[str]], left_s: Mapping[str, float], running: Iterable[str], most_jobs: int
) -> float:
    """Seconds until all stages of ``left_s`` have ended, if at most ``most_jobs`` run at a time, as in `walk`.

    ``left_s``: unfinished stage -> seconds that it still takes, in running order.
    """
    ends_at = {stage: left_s[stage] for stage in running}
    waiting = [stage for stage in left_s if stage not in ends_at]
    now = 0.0
    while ends_at or waiting:
        ready = [s for s in waiting if not any(b in waiting or b in ends_at for b in upstream.get(s, ()))]
        for stage in ready[: max(0, most_jobs - len(ends_at))]:
            waiting.remove(stage)
            ends_at[stage] = now + left_s[stage]
        if not ends_at:
            break  # what is left waits for a stage that is not part of the run
        now = min(ends_at.values())
        ends_at = {stage: end for stage, end in ends_at.items() if end > now}
    return now


def _kind(stage: str) -> str:
    """``evaluate_bound`` scores videos as ``evaluate`` does, without generating them."""
    return stage.split("@")[0].removesuffix("_bound")
