"""The output of a stage's process: the log file, and the events that the board shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flows.board import current_board
from pipeline.core.layout import Layout
from pipeline.core.stage_events import PROGRESS_VARIABLE


@dataclass(frozen=True)
class Recording:
    """What a stage's process needs: the function that takes its output lines, and its environment variables."""

    on_line: Callable[[str], None]
    environment: Mapping[str, str]


@contextmanager
def recording(root: Path, stage: str, on_line: Callable[[str], object]) -> Iterator[Recording]:
    """Show a stage as running on the board, and write its output to ``.scratch/logs/STAGE.log``.

    ``on_line`` also gets every line. Another start of the same stage in a run continues its log. A log that cannot be
    written, for example on a full disk, does not stop the stage.
    """
    folder = Layout(root).logs_dir
    log_path, events_path = folder / f"{stage}.log", folder / f".{stage}.events"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        events_path.unlink(missing_ok=True)
    board = current_board()
    num_starts = board.start(stage, events_path)
    if num_starts == 1:
        with suppress(OSError):
            log_path.write_text("")

    def record(line: str) -> None:
        with suppress(OSError), log_path.open("a") as file:
            file.write(f"{line}\n")
        on_line(line)

    try:
        yield Recording(record, {PROGRESS_VARIABLE: str(events_path)})
    finally:
        board.stop(stage)
        with suppress(OSError):
            events_path.unlink(missing_ok=True)
