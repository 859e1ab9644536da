"""Two flows never work in one checkout at a time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    """Another process that holds the checkout until its input ends."""
    command = [sys.executable, "-c", HOLD, str(tiny_repo)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_told_who_is_at_work(tiny_repo: Path, holder: subprocess.Popen[str]) -> None:
    with (
        pytest.raises(CheckoutBusyError, match=rf"retrain \(process {holder.pid}, since .*start reproduce again"),
        occupying(tiny_repo, "reproduce"),
    ):
        pass
    holder.kill()  # its lock goes with it
    holder.wait()
    with occupying(tiny_repo, "reproduce"):
        pass


def test_both_flows_end_as_cancelled_and_run_nothing(tiny_repo: Path, holder: subprocess.Popen[str]) -> None:
    for flow in (reproduce, retrain):
        state = flow.fn(str(tiny_repo))
        assert state.is_cancelled()
        assert f"retrain (process {holder.pid}" in str(state.message)
    assert not (tiny_repo / "prepared.txt").exists()


def test_a_flow_within_the_flow_that_holds_it_is_let_through(tiny_repo: Path) -> None:
    with occupying(tiny_repo, "retrain"):
        with occupying(tiny_repo, "reproduce"):
            pass
        command = [sys.executable, "-c", HOLD, str(tiny_repo)]
        other = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert "CheckoutBusyError: retrain (process" in other.stderr  # the inner one did not give it away
