"""Running checks: in order, side by side, and none of them can stop or hold up the rest."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from pipeline.doctor.check import NoAnswerError, Status, answer_of, ask_python, fail, ok, run_checks, warn, worst_first


def test_a_check_that_raises_is_reported_as_failed_and_the_others_stand() -> None:
    def broken() -> list:
        raise KeyError("cuda")

    def gives_up() -> list:
        raise SystemExit(3)

    found = run_checks({"a": lambda: [ok("a", "fine")], "b": broken, "c": gives_up, "d": lambda: [ok("d", "fine")]})
    assert [(check.name, check.status) for check in found] == [
        ("a", Status.OK),
        ("b", Status.FAIL),
        ("c", Status.FAIL),
        ("d", Status.OK),
    ]
    assert found[1].found == "KeyError: 'cuda'"


def test_a_check_that_hangs_is_reported_after_its_time() -> None:
    release = threading.Event()

    def hangs() -> list:
        release.wait(60)
        return [ok("hangs", "too late")]

    started = time.monotonic()
    found = run_checks({"hangs": hangs, "b": lambda: [ok("b", "fine")]}, limit_s=0.3)
    release.set()
    assert time.monotonic() - started < 5
    assert (found[0].name, found[0].status, found[0].found) == ("hangs", Status.FAIL, "no answer in 0.3 s")
    assert found[1].status is Status.OK


def test_a_probe_may_say_nothing_or_several_things() -> None:
    found = run_checks({"none": list, "two": lambda: [warn("x", "a", "b"), ok("y", "c")]})
    assert [check.name for check in found] == ["x", "y"]


def test_failures_come_first_and_equals_keep_their_order() -> None:
    checks = [ok("a", ""), warn("b", "", "-"), fail("c", "", "-"), ok("d", ""), fail("e", "", "-")]
    assert [check.name for check in worst_first(checks)] == ["c", "e", "b", "a", "d"]


def test_answers_of_programs() -> None:
    assert ask_python("import json; print('noise'); print(json.dumps({'a': 1}))") == {"a": 1}
    with pytest.raises(NoAnswerError, match="ModuleNotFoundError: No module named 'no_such'"):
        ask_python("import no_such")
    with pytest.raises(NoAnswerError, match="no answer in"):
        ask_python("print('not json')")
    with pytest.raises(NoAnswerError, match="no answer in"):
        ask_python("")
    with pytest.raises(NoAnswerError, match=r"did not answer in 0\.3 s"):
        answer_of([sys.executable, "-c", "import time; time.sleep(30)"], 0.3)
    with pytest.raises(NoAnswerError, match="no-such-program"):
        answer_of(["/no-such-program"], 5)
    with pytest.raises(NoAnswerError, match="ended with 7"):
        answer_of([sys.executable, "-c", "raise SystemExit(7)"], 30)
