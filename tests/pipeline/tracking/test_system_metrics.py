"""The load of the machine is measured in a thread, and measuring never fails a stage."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest

from pipeline.tracking import system_metrics
from pipeline.tracking.system_metrics import watch_system


class Monitor:
    def __init__(self, value: float | None) -> None:
        self._value = value

    def collect_metrics(self) -> None:
        if self._value is None:
            raise OSError("no such device")

    def aggregate_metrics(self) -> dict[str, float | None]:
        return {"cpu_utilization_percentage": self._value}

    def clear_metrics(self) -> None:
        pass


def test_the_load_is_logged_until_the_block_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_metrics, "_monitors", lambda: [Monitor(None), Monitor(25.0)])
    logged: list[Mapping[str, float]] = []
    has_two = threading.Event()

    def log(metrics: Mapping[str, float], step: int) -> None:
        logged.append(metrics)
        if len(logged) == 2:
            has_two.set()

    with watch_system(log, interval_s=0.01):
        assert has_two.wait(30)
    num = len(logged)
    assert logged[0] == {"system/cpu_utilization_percentage": 25.0}
    assert "system metrics" not in {thread.name for thread in threading.enumerate()}
    assert len(logged) == num


def test_a_stage_shorter_than_the_interval_and_a_stage_without_a_run_are_not_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(system_metrics, "_monitors", lambda: pytest.fail("must not measure"))
    with watch_system(lambda metrics, step: None, interval_s=60):
        pass
    with watch_system(lambda metrics, step: None, enabled=False, interval_s=0.0):
        pass


def test_the_monitors_of_mlflow_measure_this_machine() -> None:
    found: dict[str, float] = {}
    for monitor in system_metrics._monitors():
        monitor.collect_metrics()
        found |= monitor.aggregate_metrics()
    assert 0 < found["system_memory_usage_percentage"] <= 100
