"""What is served, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import serve
from pipeline.core.errors import UserError


def test_a_schedule_that_is_none_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"runtime.retrain_cron is '0 3 \* \*', which is no cron expression"):
        serve.deployments(tmp_path, "0 3 * *")


def test_retraining_has_the_schedule_and_no_limit_that_outlives_a_killed_server(tmp_path: Path) -> None:
    retrain, reproduce = serve.deployments(tmp_path, "0 3 * * 1")
    assert [str(schedule.schedule.cron) for schedule in retrain.schedules or []] == ["0 3 * * 1"]
    assert not reproduce.schedules
    for made in (retrain, reproduce):
        assert made.concurrency_limit is None
        assert made.parameters == {"root": str(tmp_path)}
