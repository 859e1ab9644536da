"""Ray for the length of a block: a local instance, or the cluster of RAY_ADDRESS."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import psutil

from pipeline.core.errors import TemporaryError
from pipeline.core.layout import CODE_ROOT
from pipeline.core.proxies import bypass_proxies_for_loopback
from pipeline.core.resources import available_bytes

logger = logging.getLogger(__name__)

_MIN_STORE_BYTES = 100_000_000
_ANSWER_S = 10.0
SENT_PACKAGES = ("pipeline", "models")
"""Packages that the nodes of a cluster receive. The tasks of all stages import only from these two."""

_LOCAL_ONLY = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on any system: the node uses the loopback address
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a process that watches for machines which a cloud takes back
}
"""Variables of a local instance. Ray reads the first at its import.

Whoever may submit a task to Ray can run any code as this user.
"""


class WorkerError(TemporaryError):
    """A worker died repeatedly, or the Ray cluster is unreachable."""


def is_cluster() -> bool:
    """Whether RAY_ADDRESS names a Ray cluster. Otherwise work stays on this machine."""
    return os.environ.get("RAY_ADDRESS", "") not in ("", "local")


@contextmanager
def open_ray(num_cpus: int, store_bytes: int, env_vars: Mapping[str, str]) -> Iterator[Any]:
    """Yield the module ``ray``, connected to the cluster of RAY_ADDRESS or to a local instance for this block.

    The nodes of a cluster receive ``SENT_PACKAGES`` and no other files. ``num_cpus`` and ``store_bytes`` (size of the
    object store) apply to a local instance. A local instance listens on the loopback interface only, and serves only
    processes with its random token. Raises WorkerError if the cluster does not answer or Ray does not start.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's default gives its workers a low priority
    # Under `uv run` Ray would send the working directory, data included, to its workers and start each with uv.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    bypass_proxies_for_loopback()
    with nullcontext() if is_cluster() else _variables(_LOCAL_ONLY):
        import ray

        if ray.is_initialized():
            yield ray
            return
        _read_authentication(ray)
        folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # short, since paths of Ray's sockets are limited
        on_sigterm = signal.getsignal(signal.SIGTERM)
        try:
            if is_cluster():
                _require_answer(os.environ["RAY_ADDRESS"])
                options = _cluster_options(folder, env_vars)
            else:
                options = _local_options(num_cpus, folder, store_bytes, env_vars)
            _start(ray, options, folder)
            _shorten_messages(ray)
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, on_sigterm)  # ray.init replaced the handler
            yield ray
        finally:
            ray.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


def _read_authentication(ray: Any) -> None:
    """Make Ray use the present RAY_AUTH_MODE and RAY_AUTH_TOKEN: it keeps those of its import or of its last start.

    Without this, a process that had imported Ray before would start servers with a token and call them without one.
    """
    if raylet := getattr(ray, "_raylet", None):
        raylet.Config.initialize("")
        raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start(ray: Any, options: Mapping[str, Any], folder: Path) -> None:
    """Start or join Ray. Raises WorkerError if it does not start in time, and leaves no process of it then.

    ``folder``: temporary folder of this start.
    """
    try:
        ray.init(log_to_driver=False, logging_level=logging.WARNING, **options)
    except Exception as error:
        if type(error) is not Exception or "timed out" not in str(error):
            raise
        kill_below(folder)
        reason = "Ray did not start within its time limit; this machine may be overloaded"
        raise WorkerError(f"{reason} ({error})") from None


def _shorten_messages(ray: Any) -> None:
    """Log each message that Ray sends to its driver, such as the death of a node, as one line.

    Ray prints them itself, several lines each, and has no setting for it. Without its private function they stay as
    they are.
    """
    if hasattr(ray._private.worker, "print_to_stdstream"):
        ray._private.worker.print_to_stdstream = _log_message


def _log_message(data: Mapping[str, Any], **_: Any) -> None:
    for text in data["lines"]:
        lines = str(text).strip().splitlines()
        if lines:
            logger.warning("Ray: %s", lines[0].partition(". ")[0].strip())


def kill_below(folder: Path) -> None:
    """Kill this process's children whose command names ``folder``. Ray's own shutdown skips a start that failed."""
    for process in psutil.Process().children(recursive=True):
        try:
            if any(str(folder) in word for word in process.cmdline()):
                process.kill()
        except psutil.Error:
            continue


def _require_answer(address: str) -> None:
    """Raise WorkerError at once if nothing answers. Ray itself would retry the address for minutes."""
    host, _, port = address.rpartition(":")
    if "://" in address or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    except OSError as error:
        raise WorkerError(
            f"RAY_ADDRESS is {address}, and no Ray cluster answers there ({error}); start the cluster "
            "(docs/cluster.md), or unset RAY_ADDRESS to use this machine"
        ) from error


def _cluster_options(folder: Path, env_vars: Mapping[str, str]) -> dict[str, Any]:
    """Options that send ``SENT_PACKAGES`` to the nodes. The packages' dependencies must be installed there.

    The code is sent as a working directory, which takes precedence over a checkout at the same path on a node.
    """
    for package in SENT_PACKAGES:
        shutil.copytree(CODE_ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return {"runtime_env": {"env_vars": dict(env_vars), "working_dir": str(folder)}}


def _local_options(num_cpus: int, folder: Path, store_bytes: int, env_vars: Mapping[str, str]) -> dict[str, Any]:
    return {
        "address": "local",  # do not connect to another instance on this machine
        "num_cpus": num_cpus,
        "include_dashboard": False,
        "object_store_memory": _affordable(store_bytes),
        "runtime_env": {"env_vars": dict(env_vars)},
        "_temp_dir": str(folder),
    }


def _affordable(store_bytes: int) -> int:
    """``store_bytes``, limited to a quarter of the free memory and 90 % of the free shared memory."""
    room = available_bytes() // 4
    shared_memory = Path("/dev/shm")
    if shared_memory.is_dir():
        room = min(room, shutil.disk_usage(shared_memory).free * 9 // 10)
    return max(_MIN_STORE_BYTES, min(room, store_bytes))
