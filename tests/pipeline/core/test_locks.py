"""Locks exclude other processes, end with their process, and name their holder."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.core import locks
from pipeline.core.locks import LockHeldError, locked, locked_or_refused

ROOT = Path(__file__).resolve().parents[3]
HOLD = """
import sys
from pathlib import Path
from pipeline.core.locks import locked, locked_or_refused
with {call}:
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holding(call: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a lock until its stdin closes."""
    command = [sys.executable, "-c", HOLD.format(call=call)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_wait_is_logged_and_ends_when_the_holder_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "PATIENCE_S", 0.01)
    caplog.set_level(logging.INFO)
    path = tmp_path / "new" / ".lock"
    with holding(f"locked(Path({str(path)!r}), 'x')") as process:
        killer = threading.Timer(0.5, process.kill)
        killer.start()
        with locked(path, "fetching a.tar"):
            assert process.wait(timeout=30) != 0
        killer.join()
    assert "another process is fetching a.tar; waiting for it" in caplog.text


def test_a_free_lock_is_acquired_without_a_log_message(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(2):
        with locked(tmp_path / ".lock", "busy"):
            pass
    assert caplog.text == ""


def test_threads_of_one_process_wait_for_each_other(tmp_path: Path) -> None:
    inside: list[str] = []

    def work(name: str) -> None:
        with locked(tmp_path / ".lock", "busy"):
            inside.append(name)
            inside.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside[::2] == inside[1::2]
    assert sorted(inside[::2]) == list("abcd")


@pytest.mark.parametrize("end", [subprocess.Popen.kill, lambda process: process.communicate()], ids=["killed", "done"])
def test_the_holder_is_named_until_it_ends(tmp_path: Path, end: Callable[[subprocess.Popen[str]], object]) -> None:
    path = tmp_path / "flow.lock"
    with holding(f"locked_or_refused(Path({str(path)!r}), 'retrain')") as process:
        with pytest.raises(LockHeldError) as caught, locked_or_refused(path, "reproduce"):
            pass
        assert caught.value.holder.startswith(f"retrain (process {process.pid}, since 20")
        end(process)
        process.wait()
        with locked_or_refused(path, "reproduce"):
            pass
    assert [found.name for found in tmp_path.iterdir()] == ["flow.lock"]


def test_the_process_that_holds_a_lock_may_enter_again_from_any_thread(tmp_path: Path) -> None:
    path = tmp_path / "flow.lock"
    failures: list[Exception] = []

    def enter() -> None:
        try:
            with locked_or_refused(path, "inner"):
                pass
        except Exception as error:
            failures.append(error)

    with locked_or_refused(path, "outer"):
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        enter()
        assert failures == []
        command = [sys.executable, "-c", HOLD.format(call=f"locked_or_refused(Path({str(path)!r}), 'other')")]
        other = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert "LockHeldError" in other.stderr  # the nested holds did not release it
        assert "held by outer (process" in other.stderr
