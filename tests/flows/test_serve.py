"""What is served, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import serve


def test_a_schedule_that_is_none_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"runtime.retrain_cron is '0 3 \* \*', which is no cron expression"):
        serve.deployments(tmp_path, "0 3 * *")


def test_one_run_of_a_flow_at_a_time_and_retraining_has_the_schedule(tmp_path: Path) -> None:
    retrain, reproduce = serve.deployments(tmp_path, "0 3 * * 1")
    assert [str(schedule.schedule.cron) for schedule in retrain.schedules or []] == ["0 3 * * 1"]
    assert not reproduce.schedules
    for made in (retrain, reproduce):
        assert made.concurrency_limit == 1
        assert made.parameters == {"root": str(tmp_path)}
