"""Load of the machine during a stage: processors, memory, disk, network and GPUs as metrics ``system/``."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

logger = logging.getLogger(__name__)

INTERVAL_S = 10.0
"""Time between two measurements. A shorter stage has none."""


@contextmanager
def watch_system(
    log: Callable[[Mapping[str, float], int], None], *, enabled: bool = True, interval_s: float = INTERVAL_S
) -> Iterator[None]:
    """Measure the load in a thread during the block, and call ``log`` with the metrics and the seconds since its start.

    MLflow's monitors measure. Its own thread is not used, because it loses metrics while the store cannot be reached.
    """
    if not enabled:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_measure, args=(log, ended, interval_s), name="system metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=interval_s)


def _measure(log: Callable[[Mapping[str, float], int], None], ended: threading.Event, interval_s: float) -> None:
    if ended.wait(interval_s):
        return
    monitors = _monitors()
    num = 0
    while True:
        num += 1
        metrics: dict[str, float] = {}
        for monitor in monitors:
            with suppress(Exception):  # a driver that fails, a disk that is gone: the stage is not affected
                monitor.collect_metrics()
                metrics |= {f"system/{name}": float(value) for name, value in monitor.aggregate_metrics().items()}
            monitor.clear_metrics()
        if metrics:
            log(metrics, round(num * interval_s))
        if ended.wait(interval_s):
            return


def _monitors() -> list[Any]:
    """MLflow's monitors that work on this machine. Without GPUs or their driver, the monitor of GPUs is left out."""
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    monitors = []
    for kind in (CPUMonitor, DiskMonitor, NetworkMonitor, GPUMonitor):
        with suppress(Exception):  # MLflow raises Exception itself if no GPU can be read
            monitors.append(kind())
    return monitors
