"""The deployments, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import serve
from pipeline.core.errors import UserError


def test_the_error_for_an_invalid_schedule_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"runtime.retrain_cron is '0 3 \* \*', which is not a cron expression"):
        serve.deployments(tmp_path, "0 3 * *")


def test_retrain_has_the_schedule_and_no_deployment_has_a_concurrency_limit(tmp_path: Path) -> None:
    retrain, reproduce = serve.deployments(tmp_path, "0 3 * * 1")
    assert [str(schedule.schedule.cron) for schedule in retrain.schedules or []] == ["0 3 * * 1"]
    assert not reproduce.schedules
    for made in (retrain, reproduce):
        assert made.concurrency_limit is None
        assert made.parameters == {"root": str(tmp_path)}
