"""What a flow's command shows: one live table on a terminal, plain lines elsewhere, the log files at the end."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from prefect.logging.handlers import PrefectConsoleHandler
from rich.console import Console, Group
from rich.live import Live

from flows.board import Board, View, using
from flows.dvc import is_hint
from flows.picture import picture
from pipeline.core.layout import Layout
from pipeline.core.logs import is_terminal

_REDRAWS_PER_S = 2.0
_LEAVING_S = 2.0
_MOST_NAMED = 4
_FLOW_LOG = "flow.log"


class FlowConsole:
    """The console of one flow run. `show` follows the run, `interrupt` belongs to the handler of Ctrl-C."""

    def __init__(self) -> None:
        self.board = Board()
        self._live: Live | None = None
        self._terminal: int | None = None
        self._stopped: list[str] | None = None

    @contextmanager
    def show(self, root: Path) -> Iterator[None]:
        """Show the run of the block: a live table if stderr is a terminal, otherwise the flow's log lines.

        With the table, Prefect's lines go to ``.scratch/logs/flow.log`` until the process ends, and so does what the
        block and its child processes write to stderr. Prefect's server gets all lines in both cases.
        """
        with using(self.board):
            if not (is_terminal(sys.stderr) and sys.stderr.encoding.lower().startswith("utf")):
                _hide_hints()
                yield
                return
            path = Layout(root).logs_dir / _FLOW_LOG
            _move_console_lines(path)
            try:
                with _moved_stderr(path) as self._terminal, self._table(self._terminal):
                    yield
            finally:
                self._terminal = None  # the descriptor is closed

    @contextmanager
    def _table(self, terminal: int) -> Iterator[None]:
        """Draw the board on a terminal until the block ends, then remove the drawing."""
        with os.fdopen(os.dup(terminal), "w", encoding="utf-8") as stream:
            console = Console(file=stream)

            def draw() -> Group:
                size = os.get_terminal_size(terminal)
                console.size = size
                return picture(self.board.view(), size.columns, size.lines)

            self._live = Live(
                get_renderable=draw,
                console=console,
                refresh_per_second=_REDRAWS_PER_S,
                transient=True,
                redirect_stderr=False,
            )
            with self._live:
                yield

    def interrupt(self) -> None:
        """Leave the last picture on the terminal and print which stages are being stopped."""
        self._stopped = self.board.running()
        if self._live:
            # In a thread: the interrupted code may hold a lock that drawing needs, and the picture then stays as it is.
            leaving = threading.Thread(target=self._leave_picture, args=(self._live,), daemon=True)
            leaving.start()
            leaving.join(_LEAVING_S)
        self._print(f"Stopping {_names(self._stopped)}. Ctrl-C again ends them at once.")

    @staticmethod
    def _leave_picture(live: Live) -> None:
        live.transient = False
        live.stop()

    def print_stopped(self) -> None:
        """After `interrupt`, print what was stopped and how to resume."""
        if self._stopped is not None:
            self._print(f"Stopped {_names(self._stopped)}. Run the same command again to resume.")

    def _print(self, line: str) -> None:
        """Write a line at once, past Python's buffers, since a signal may have interrupted a write to them."""
        with suppress(OSError, ValueError):
            os.write(sys.stderr.fileno() if self._terminal is None else self._terminal, f"{line}\n".encode())

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


def _console_handlers() -> list[logging.Handler]:
    """Prefect's handlers that print. Its handlers that send to the server stay as they are."""
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, PrefectConsoleHandler)]


def _hide_hints() -> None:
    for handler in _console_handlers():
        handler.addFilter(lambda record: not is_hint(record.getMessage()))


def _move_console_lines(path: Path) -> None:
    """Write the lines that Prefect would print to a file, which begins anew. If it cannot be written they are lost."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    for handler in _console_handlers():
        handler.addFilter(lambda record: False)
        with suppress(OSError):
            to_file = logging.FileHandler(path)
            to_file.setFormatter(handler.formatter)
            logging.getLogger().addHandler(to_file)


@contextmanager
def _moved_stderr(path: Path) -> Iterator[int]:
    """Append stderr of this process and of processes that it starts to a file. Yields a descriptor of the terminal.

    Prefect's temporary server writes there, and with Ctrl-C it prints a traceback. It keeps the file until it ends.
    """
    sys.stderr.flush()
    errors = sys.stderr.fileno()
    terminal = os.dup(errors)
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    except OSError:
        file = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(file, errors)
        yield terminal
    finally:
        sys.stderr.flush()
        os.dup2(terminal, errors)
        os.close(file)
        os.close(terminal)
