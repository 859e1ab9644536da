"""What a command shows on a terminal, in a pipe and after Ctrl-C."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import logging
import os
import pty
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from prefect.logging.handlers import PrefectConsoleHandler

from flows.board import LoggedWarning, Row, View
from flows.console import FlowConsole, closing_text

ROOT = Path(__file__).resolve().parents[2]


class Terminal:
    """A terminal as stderr, of 100 columns and 30 lines."""

    def __init__(self, encoding: str = "utf-8") -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.stderr = os.fdopen(theirs, "w", encoding=encoding)

    def text(self) -> str:
        """What was written; to be called once."""
        self.stderr.close()
        parts = []
        with contextlib.suppress(OSError):  # Linux reports the end of a terminal in this way
            while part := os.read(self._ours, 65536):
                parts.append(part)
        os.close(self._ours)
        return b"".join(parts).decode()


@pytest.fixture
def printed() -> Iterator[io.StringIO]:
    """What Prefect's handler prints."""
    stream, root = io.StringIO(), logging.getLogger()
    handlers = list(root.handlers)
    printing = PrefectConsoleHandler(stream)
    root.addHandler(printing)
    yield stream
    root.removeHandler(printing)
    for handler in (handler for handler in root.handlers if handler not in handlers):
        root.removeHandler(handler)
        handler.close()


def log_lines() -> None:
    for line in ("step 20/300", "To track the changes with git, run:", "\tgit add dvc.lock", "", "resumed"):
        logging.getLogger("prefect.a test").warning(line)


def test_a_pipe_gets_the_lines_without_hints(tmp_path: Path, printed: io.StringIO) -> None:
    console = FlowConsole()
    with console.show(tmp_path):
        log_lines()
    assert printed.getvalue() == "step 20/300\nresumed\n"
    assert console.closing_text(tmp_path) == ""
    assert not (tmp_path / ".scratch").exists()


def test_a_terminal_gets_a_table_and_the_lines_go_to_a_file(
    tmp_path: Path, printed: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal.stderr)
    monkeypatch.setenv("TERM", "xterm")
    console = FlowConsole()
    with console.show(tmp_path):
        console.board.start("train_gan@a", tmp_path / "events")
        log_lines()
        subprocess.run(["sh", "-c", "echo a child >&2"], stderr=terminal.stderr, check=True)
    terminal.stderr.write("after it\n")
    text = terminal.text()
    assert printed.getvalue() == ""
    assert "train_gan@a" in text
    assert "after it" in text
    assert "resumed" not in text
    assert "a child" not in text
    assert (tmp_path / ".scratch/logs/flow.log").read_text().splitlines()[-2:] == ["resumed", "a child"]
    assert console.closing_text(tmp_path).endswith("\nPrefect's lines: .scratch/logs/flow.log")


def test_a_log_that_cannot_be_written_does_not_hide_the_table(
    tmp_path: Path, printed: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".scratch").write_text("no folder")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal.stderr)
    monkeypatch.setenv("TERM", "xterm")
    with FlowConsole().show(tmp_path):
        log_lines()
    assert "finding out which stages have to run" in terminal.text()


@pytest.mark.parametrize(("term", "encoding"), [("dumb", "utf-8"), ("xterm", "ascii")])
def test_a_terminal_that_cannot_draw_gets_lines(
    tmp_path: Path, printed: io.StringIO, monkeypatch: pytest.MonkeyPatch, term: str, encoding: str
) -> None:
    terminal = Terminal(encoding)
    monkeypatch.setattr(sys, "stderr", terminal.stderr)
    monkeypatch.setenv("TERM", term)
    with FlowConsole().show(tmp_path):
        log_lines()
    assert terminal.text() == ""
    assert printed.getvalue() == "step 20/300\nresumed\n"


def test_the_end_names_warnings_and_log_files() -> None:
    rows = (Row("a", "ran"), Row("b", "failed"), Row("c", "failed"), Row("d", "skipped"))
    view = View(rows, warnings=(LoggedWarning("a", "accuracy is low"),))
    assert closing_text(view, ["a", "b"], Path("/checkout")).splitlines() == [
        "Warning: a: accuracy is low",
        "Log of the failed b: .scratch/logs/b.log",  # c was never started
        "Full logs: .scratch/logs/STAGE.log for a and b",
    ]
    many = closing_text(View(()), [f"evaluate@{number}" for number in range(19)], Path("/checkout"))
    assert many == "Full logs: .scratch/logs/STAGE.log for each of the 19 stages that ran"
    assert closing_text(View(()), [], Path("/checkout")) == ""


@pytest.mark.parametrize(
    ("running", "names"),
    [([], "the flow"), (["a"], "a"), (["a", "b", "c"], "a, b and c"), (list("abcdef"), "a, b, c, d and 2 more")],
)
def test_ctrl_c_says_what_was_stopped(
    running: list[str], names: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    console = FlowConsole()
    console.print_stopped()  # nothing was interrupted
    for stage in running:
        console.board.start(stage, tmp_path / stage)
    console.interrupt()
    for stage in running:
        console.board.stop(stage)
    console.print_stopped()
    assert capfd.readouterr().err.splitlines() == [
        f"Stopping {names}. Ctrl-C again ends them at once.",
        f"Stopped {names}. Run the same command again to resume.",
    ]


def _run_on_terminal(
    command: list[str], environment: dict[str, str], interrupt_at: str = "", below: list[psutil.Process] | None = None
) -> tuple[int, str]:
    """Run a command on a terminal of 100 x 30. Returns exit code and output. Ctrl-C is typed once a text appears.

    ``below`` gets the command's processes at that moment.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    output = ""
    while True:
        try:
            content = os.read(ours, 65536)
        except OSError:  # Linux reports the end of a terminal in this way
            break
        if not content:
            break
        output += content.decode(errors="replace")
        if interrupt_at and re.search(interrupt_at, output):
            if below is not None:
                below += psutil.Process(process.pid).children(recursive=True)
            os.killpg(process.pid, signal.SIGINT)
            interrupt_at = ""
    os.close(ours)
    return process.wait(timeout=60), output


def _plain(output: str) -> str:
    """The output without escape sequences and carriage returns."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", output)


def _environment(home: Path) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if k not in ("PREFECT_API_URL", "NO_COLOR")}
    return inherited | {"PREFECT_HOME": str(home), "TERM": "xterm-256color", "PYTHONUTF8": "1"}


@pytest.mark.slow
def test_the_table_of_a_run_is_calm_and_the_outcome_stays(own_stub_pipeline: Path, prefect_home: Path) -> None:
    command = [sys.executable, "-m", "flows.reproduce", "--root", str(own_stub_pipeline)]
    code, output = _run_on_terminal(command, _environment(prefect_home))
    assert code == 0
    assert "progress or result" in output
    assert "L1" not in output  # the stub has no val_l1
    assert "LSE-D 8.00, LSE-C 5.00" in output
    for line in ("To track the changes", "git add", "dvc push", "Updating lock file", "Task run", "Flow run"):
        assert line not in output
    end = _plain(output).split("stage  ")[-1]
    assert "evaluate@lstm_cbam   ran" in end
    assert "Full logs: .scratch/logs/STAGE.log for download, train_gan@lstm_cbam and evaluate@lstm_cbam" in end
    folder = own_stub_pipeline / ".scratch" / "logs"
    assert "Running stage 'train_gan@lstm_cbam':" in (folder / "train_gan@lstm_cbam.log").read_text()
    assert "Task run 'download'" in (folder / "flow.log").read_text()
    with contextlib.closing(sqlite3.connect(prefect_home / "prefect.db")) as database:
        (num_lines,) = database.execute("SELECT count(*) FROM log WHERE message LIKE 'Running stage %'").fetchone()
    assert num_lines == 3  # Prefect has its lines, though they were not shown
    durations = json.loads((own_stub_pipeline / ".scratch" / "durations.json").read_text())
    assert durations.keys() == {"download", "train_gan@lstm_cbam", "evaluate@lstm_cbam"}


@pytest.mark.slow
def test_ctrl_c_ends_parallel_stages_and_leaves_a_readable_last_line_on_a_terminal(
    own_stub_pipeline: Path, two_long_trainings: Callable[[Path], None], prefect_home: Path
) -> None:
    two_long_trainings(own_stub_pipeline)
    command = [sys.executable, "-m", "flows.reproduce", "--root", str(own_stub_pipeline)]
    below: list[psutil.Process] = []
    both_run = r"train_gan@a\S* *\S*running(.|\n)*train_gan@b\S* *\S*running"
    code, output = _run_on_terminal(command, _environment(prefect_home), interrupt_at=both_run, below=below)
    assert code == 128 + signal.SIGINT
    assert "\x1b[?25h" in output  # the cursor is shown again
    assert _plain(output).splitlines()[-2:] == [
        "Stopping train_gan@a and train_gan@b. Ctrl-C again ends them at once.",
        "Stopped train_gan@a and train_gan@b. Run the same command again to resume.",
    ]
    assert below
    _, alive = psutil.wait_procs(below, timeout=5)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
