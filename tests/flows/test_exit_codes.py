"""Exit codes as sentences."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from flows import exit_codes
from flows.dvc import DvcError, ReproOutput
from flows.exit_codes import describe_exit
from pipeline.core.resources import Limits


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exit_codes.psutil, "virtual_memory", lambda: SimpleNamespace(total=16_000_000_000))
    monkeypatch.setattr(exit_codes, "cgroup_limits", lambda: Limits(None, None))


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (2, "exited with 2"),
        (75, "exited with 75"),
        (-15, "was ended by SIGTERM (exit code -15)"),
        (-11, "was ended by SIGSEGV (exit code -11)"),
        (-300, "was ended by signal 300 (exit code -300)"),
        (130, "was ended by SIGINT (exit code 130)"),
        (139, "was ended by SIGSEGV (exit code 139)"),
        (143, "was ended by SIGTERM (exit code 143)"),
        (128, "exited with 128"),
        (193, "exited with 193"),
        (255, "exited with 255"),
    ],
)
def test_a_signal_is_named(code: int, text: str) -> None:
    assert describe_exit(code) == text


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("code", [-9, 137], ids=["python", "shell"])
def test_sigkill_is_probably_a_lack_of_memory_and_the_limit_is_named(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = f"was killed (exit code {code}), most likely because it was out of memory: "
    assert describe_exit(code).startswith(f"{start}this machine has 16.0 GB; use less in params.yaml")
    for limit, named in ((4_000_000_000, "this container's limit is 4.0 GB"), (1 << 59, "this machine has 16.0 GB")):
        monkeypatch.setattr(exit_codes, "cgroup_limits", lambda limit=limit: Limits(limit, None))
        assert describe_exit(code).startswith(f"{start}{named};")


@pytest.mark.usefixtures("memory")
def test_a_killed_stage_and_a_killed_dvc_are_described() -> None:
    output = ReproOutput("train")
    output.add("step 7 of 9")
    output.add("ERROR: failed to reproduce 'train': failed to run: python -m x, exited with -9")
    cause = r"^its command was killed .exit code -9., most likely .* 16.0 GB.*; the last line of its log: step 7 of 9\n"
    with pytest.raises(DvcError, match=cause):
        output.outcome(255)
    with pytest.raises(DvcError, match=r"^dvc was killed .exit code -9., most likely"):
        ReproOutput("train").outcome(-9)
