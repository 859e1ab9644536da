"""Checks run in parallel and are returned in order; an error or a timeout of one does not affect the others."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from pipeline.doctor.check import ProgramError, Status, fail, ok, output_of, run_checks, run_python, warn, worst_first


def test_a_probe_that_raises_gives_a_failed_check() -> None:
    def broken() -> list:
        raise KeyError("cuda")

    def exits() -> list:
        raise SystemExit(3)

    found = run_checks({"a": lambda: [ok("a", "fine")], "b": broken, "c": exits, "d": lambda: [ok("d", "fine")]})
    assert [(check.name, check.status) for check in found] == [
        ("a", Status.OK),
        ("b", Status.FAIL),
        ("c", Status.FAIL),
        ("d", Status.OK),
    ]
    assert found[1].found == "KeyError: 'cuda'"


def test_a_probe_that_hangs_gives_a_failed_check_after_the_limit() -> None:
    release = threading.Event()

    def hangs() -> list:
        release.wait(60)
        return [ok("hangs", "too late")]

    started = time.monotonic()
    others = {f"hangs {number}": hangs for number in range(30)}
    found = run_checks({"hangs": hangs, "b": lambda: [ok("b", "fine")], **others}, limit_s=0.3)
    release.set()
    assert time.monotonic() - started < 5  # all probes share the limit
    assert (found[0].name, found[0].status, found[0].found) == ("hangs", Status.FAIL, "no answer in 0.3 s")
    assert found[1].status is Status.OK


def test_a_probe_may_return_no_check_or_several() -> None:
    found = run_checks({"none": list, "two": lambda: [warn("x", "a", "b"), ok("y", "c")]})
    assert [check.name for check in found] == ["x", "y"]


def test_failures_come_first_and_equals_keep_their_order() -> None:
    checks = [ok("a", ""), warn("b", "", "-"), fail("c", "", "-"), ok("d", ""), fail("e", "", "-")]
    assert [check.name for check in worst_first(checks)] == ["c", "e", "b", "a", "d"]


def test_output_and_errors_of_programs() -> None:
    assert run_python("import json; print('noise'); print(json.dumps({'a': 1}))") == {"a": 1}
    with pytest.raises(ProgramError, match="ModuleNotFoundError: No module named 'no_such'"):
        run_python("import no_such")
    with pytest.raises(ProgramError, match="no JSON in"):
        run_python("print('not json')")
    with pytest.raises(ProgramError, match="no JSON in"):
        run_python("")
    with pytest.raises(ProgramError, match=r"did not answer in 0\.3 s"):
        output_of([sys.executable, "-c", "import time; time.sleep(30)"], 0.3)
    with pytest.raises(ProgramError, match="no-such-program"):
        output_of(["/no-such-program"], 5)
    with pytest.raises(ProgramError, match="exited with 7"):
        output_of([sys.executable, "-c", "raise SystemExit(7)"], 30)
