"""Two flows never run in one checkout at the same time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.checkout import working_in
from flows.occupancy import CheckoutBusyError, occupying
from flows.reproduce import reproduce
from flows.retrain import retrain

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys
from pathlib import Path
from flows.occupancy import occupying
with occupying(Path(sys.argv[1]), "retrain"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tiny_repo: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that locks the checkout until its stdin closes."""
    command = [sys.executable, "-c", HOLD, str(tiny_repo)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.slow
def test_the_error_in_a_second_process_names_the_holder(tiny_repo: Path, holder: subprocess.Popen[str]) -> None:
    with (
        pytest.raises(CheckoutBusyError, match=rf"retrain \(process {holder.pid}, since .*start reproduce again"),
        occupying(tiny_repo, "reproduce"),
    ):
        pass
    holder.kill()  # the lock ends with the process
    holder.wait()
    with occupying(tiny_repo, "reproduce"):
        pass


def test_both_flows_are_cancelled_and_run_nothing(tiny_repo: Path, holder: subprocess.Popen[str]) -> None:
    for flow in (reproduce, retrain):
        with working_in(tiny_repo):
            state = flow.fn()
        assert state.is_cancelled()
        assert f"retrain (process {holder.pid}" in str(state.message)
    assert not (tiny_repo / "prepared.txt").exists()


def test_a_subflow_may_enter_and_does_not_release_the_lock(tiny_repo: Path) -> None:
    with occupying(tiny_repo, "retrain"):
        with occupying(tiny_repo, "reproduce"):
            pass
        command = [sys.executable, "-c", HOLD, str(tiny_repo)]
        other = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert "CheckoutBusyError: retrain (process" in other.stderr  # the subflow did not release the lock


def test_a_flow_that_waits_starts_when_the_other_has_ended(tiny_repo: Path, holder: subprocess.Popen[str]) -> None:
    sentences: list[str] = []

    def end_holder(sentence: str) -> None:
        sentences.append(sentence)
        assert holder.stdin is not None
        holder.stdin.close()

    with occupying(tiny_repo, "reproduce", end_holder):
        assert holder.wait() == 0
    (sentence,) = sentences
    assert sentence.startswith(f"retrain (process {holder.pid}, since ") and sentence.endswith("waiting for its end")
