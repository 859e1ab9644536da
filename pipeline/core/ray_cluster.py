"""Ray on this machine, or the cluster of RAY_ADDRESS: started or joined for the length of a block."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

from pipeline.core.errors import TemporaryError

_MIN_STORE_BYTES = 100_000_000
_ANSWER_S = 10.0


class WorkerError(TemporaryError):
    """A worker died again and again, or the Ray cluster is gone."""


def is_cluster() -> bool:
    """Whether work goes to a Ray cluster, that of RAY_ADDRESS, instead of this machine."""
    return os.environ.get("RAY_ADDRESS", "") not in ("", "local")


@contextmanager
def open_ray(
    num_cpus: int, packages: Sequence[ModuleType], store_bytes: int, env_vars: Mapping[str, str]
) -> Iterator[Any]:
    """Ray: the cluster of RAY_ADDRESS, or one of our own on this machine that ends with the block.

    A cluster's nodes get the packages' code, and nothing else of the checkout. ``num_cpus`` and ``store_bytes`` (room
    for objects) are those of our own. Raises WorkerError if the cluster does not answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray would give way to everything else on the machine
    if not is_cluster():
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import ray

    if ray.is_initialized():
        yield ray
        return
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # a short path: Ray puts sockets there
    if is_cluster():
        options = _cluster_options(folder, packages, env_vars)
    else:
        options = _local_options(num_cpus, folder, store_bytes, env_vars)
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        if is_cluster():
            _require_answer(os.environ["RAY_ADDRESS"])
        ray.init(log_to_driver=False, logging_level=logging.WARNING, **options)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # ray.init put its own there
        yield ray
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _require_answer(address: str) -> None:
    """Ray itself would try a silent address for minutes."""
    host, _, port = address.rpartition(":")
    if "://" in address or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    except OSError as error:
        raise WorkerError(f"nothing answers at RAY_ADDRESS {address}: {error}") from error


def _cluster_options(folder: Path, packages: Sequence[ModuleType], env_vars: Mapping[str, str]) -> dict[str, Any]:
    """The code goes as a working directory, which comes before a checkout that a node may have at the same path. What
    it imports must be installed there."""
    for package in packages:
        code = Path(str(package.__file__)).parent
        shutil.copytree(code, folder / code.name, ignore=shutil.ignore_patterns("__pycache__"))
    return {"runtime_env": {"env_vars": dict(env_vars), "working_dir": str(folder)}}


def _local_options(num_cpus: int, folder: Path, store_bytes: int, env_vars: Mapping[str, str]) -> dict[str, Any]:
    return {
        "address": "local",  # and not one that somebody else started on this machine
        "num_cpus": num_cpus,
        "include_dashboard": False,
        "object_store_memory": _affordable(store_bytes),
        "runtime_env": {"env_vars": dict(env_vars)},
        "_temp_dir": str(folder),
    }


def _affordable(store_bytes: int) -> int:
    """At most a quarter of the free memory."""
    room = psutil.virtual_memory().available // 4
    shared_memory = Path("/dev/shm")
    if shared_memory.is_dir():
        room = min(room, shutil.disk_usage(shared_memory).free * 9 // 10)
    return max(_MIN_STORE_BYTES, min(room, store_bytes))
