"""What a flow's command shows: one live table on a terminal, plain lines elsewhere, the log files at the end."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from prefect.logging.handlers import PrefectConsoleHandler
from rich.console import Console, Group
from rich.live import Live

from flows.board import Board, View, using
from flows.console import picture
from flows.dvc import is_hint
from pipeline.core.layout import Layout
from pipeline.core.logs import is_terminal

_REDRAWS_PER_S = 2.0
_MOST_NAMED = 4
_FLOW_LOG = "flow.log"


class FlowConsole:
    """The console of one flow run. `show` follows the run, `interrupt` belongs to the handler of Ctrl-C."""

    def __init__(self) -> None:
        self.board = Board()
        self._live: Live | None = None
        self._stopped: list[str] | None = None

    @contextmanager
    def show(self, root: Path) -> Iterator[None]:
        """Show the run of the block: a live table if stderr is a terminal, otherwise the flow's log lines.

        Prefect's lines then go to ``.scratch/logs/flow.log`` until the process ends. Prefect's server gets all lines in
        both cases.
        """
        with using(self.board):
            console = Console(stderr=True)
            if not (is_terminal(sys.stderr) and console.encoding.startswith("utf")):
                _hide_hints()
                yield
                return
            _move_console_lines(Layout(root).logs_dir / _FLOW_LOG)
            self._live = Live(
                get_renderable=lambda: self._picture(console),
                console=console,
                refresh_per_second=_REDRAWS_PER_S,
                transient=True,
            )
            with self._live:
                yield

    def _picture(self, console: Console) -> Group:
        return picture(self.board.view(), console.width, console.height)

    def interrupt(self) -> None:
        """Leave the last picture on the terminal and say which stages are being stopped."""
        self._stopped = self.board.running()
        if self._live:
            with suppress(Exception):  # nothing may prevent the end of the stages
                self._live.transient = False
                self._live.stop()
        _say(f"Stopping {_names(self._stopped)}. Ctrl-C again ends them at once.")

    def say_stopped(self) -> None:
        """After `interrupt`, say what was stopped and how to resume."""
        if self._stopped is not None:
            _say(f"Stopped {_names(self._stopped)}. Run the same command again to resume.")

    def closing_text(self, root: Path) -> str:
        """The warnings of the run and its log files."""
        text = closing_text(self.board.view(), self.board.started(), root)
        if self._live is None:
            return text
        return f"{text}\nPrefect's lines: {Layout(root).logs_dir.relative_to(root) / _FLOW_LOG}".lstrip()


def closing_text(view: View, started: Sequence[str], root: Path) -> str:
    """Every warning once, and the log files.

    ``started``: stages that have a log; empty if nothing ran.
    """
    folder = Layout(root).logs_dir.relative_to(root)
    lines = [f"Warning: {warning.line}" for warning in view.warnings]
    failed = [row.stage for row in view.rows if row.state == "failed" and row.stage in started]
    lines += [f"Log of the failed {stage}: {folder / stage}.log" for stage in failed]
    if started:
        of_which = f"each of the {len(started)} stages that ran" if len(started) > _MOST_NAMED else _names(started)
        lines.append(f"Full logs: {folder}/STAGE.log for {of_which}")
    return "\n".join(lines)


def _names(stages: Sequence[str]) -> str:
    named = [*stages[:_MOST_NAMED], *([f"{len(stages) - _MOST_NAMED} more"] if len(stages) > _MOST_NAMED else [])]
    if not named:
        return "the flow"
    return " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))


def _say(line: str) -> None:
    """Write a line at once, past Python's buffers, since a signal may have interrupted a write to them."""
    with suppress(OSError, ValueError):
        os.write(sys.stderr.fileno(), f"{line}\n".encode())


def _console_handlers() -> list[logging.Handler]:
    """Prefect's handlers that print. Its handlers that send to the server stay as they are."""
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, PrefectConsoleHandler)]


def _hide_hints() -> None:
    for handler in _console_handlers():
        handler.addFilter(lambda record: not is_hint(record.getMessage()))


def _move_console_lines(path: Path) -> None:
    """Write the lines that Prefect would print to a file, which begins anew. If it cannot be written they are lost."""
    for handler in _console_handlers():
        handler.addFilter(lambda record: False)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            to_file = logging.FileHandler(path, mode="w")
            to_file.setFormatter(handler.formatter)
            logging.getLogger().addHandler(to_file)
