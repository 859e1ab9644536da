"""Progress of a request that runs in a thread."""

from __future__ import annotations

import threading
from itertools import count

import pytest

from pipeline.app.background import run_with_progress
from pipeline.core.errors import UserError
from pipeline.dubbing import PhaseProgress


def test_the_progress_is_yielded_and_the_result_returned():
    is_shown = threading.Event()

    def work(report):
        report(PhaseProgress("generating frames", 1, 4, 3.0))
        assert is_shown.wait(30)
        return "done"

    steps = run_with_progress(work, lambda text: (text,))
    assert next(steps) == ("generating frames: 1 of 4, 25%, about 0:03 left",)
    is_shown.set()
    with pytest.raises(StopIteration) as ended:
        while True:
            next(steps)
    assert ended.value.value == "done"


def test_an_error_of_the_work_is_raised():
    def work(report):
        raise UserError("too long")

    with pytest.raises(UserError, match="too long"):
        list(run_with_progress(work, str))


def test_work_whose_page_is_closed_stops():
    reports = count()

    def work(report):
        while True:
            next(reports)
            report(PhaseProgress("detecting faces", 1, None, None))

    steps = run_with_progress(work, str)
    next(steps)
    steps.close()  # returns once the thread has ended
    num_reports = next(reports)
    assert num_reports > 0
    assert next(reports) == num_reports + 1
