"""A local Ray instance: who may use it, and what a failed start leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from pipeline.core import ray_cluster
from pipeline.core.ray_cluster import WorkerError

ROOT = Path(__file__).resolve().parents[3]
LOCAL = '''
import json, os, subprocess, sys
import psutil
from pipeline.core.ray_cluster import open_ray

join = """
import os
from ray._raylet import GcsClient
try:
    GcsClient(address=os.environ["AT"])
    print("joined")
except Exception as error:
    print(type(error).__name__)
"""
with open_ray(1, 1, {}) as ray:
    own = psutil.Process()
    listening = {c.laddr.ip for p in [own, *own.children(recursive=True)] for c in p.net_connections("tcp")
                 if c.status == psutil.CONN_LISTEN}
    address = ray.get_runtime_context().gcs_address
    other = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    stranger = other | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64, "AT": address}
    joined = subprocess.run([sys.executable, "-c", join], env=stranger, capture_output=True, text=True, timeout=120)
    uv = ray._private.ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV
    is_done = ray.get(ray.remote(lambda: True).remote())
    printer = ray._private.worker.print_to_stdstream.__module__
print(json.dumps([sorted(listening), joined.stdout, uv, is_done, "RAY_AUTH_TOKEN" in os.environ, printer]))
'''


@pytest.mark.slow
def test_a_local_instance_listens_on_loopback_and_refuses_a_process_without_its_token() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-c", LOCAL]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    listening, joined, uses_uv, is_done, is_token_left, printer = json.loads(done.stdout.splitlines()[-1])
    assert listening and {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}
    assert joined == "AuthenticationError\n"
    assert is_done
    assert not uses_uv and not is_token_left
    assert printer == ray_cluster.__name__


class FakeRay:
    """A Ray that starts a server and then fails, as on an overloaded machine."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.servers: list[subprocess.Popen[bytes]] = []
        self.environment: dict[str, str] = {}

    def is_initialized(self) -> bool:
        return False

    def init(self, **options: Any) -> None:
        self.environment = dict(os.environ)
        command = [sys.executable, "-c", "import time; time.sleep(300)", f"--log_dir={options['_temp_dir']}"]
        self.servers.append(subprocess.Popen(command))
        raise self.error

    def shutdown(self) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (Exception("The current node timed out during startup."), WorkerError),
        (RuntimeError("a bug"), RuntimeError),
    ],
)
def test_a_start_that_exceeds_its_time_is_a_temporary_error_and_leaves_no_process(
    error: Exception, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeRay(error)
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    try:
        with pytest.raises(raised), ray_cluster.open_ray(1, 1, {}):
            pass
        if raised is WorkerError:
            assert fake.servers[0].wait(timeout=20) == -9
    finally:
        fake.servers[0].kill()
        fake.servers[0].wait()
    assert fake.environment["RAY_AUTH_MODE"] == "token" and len(fake.environment["RAY_AUTH_TOKEN"]) == 64
    assert os.environ["RAY_AUTH_MODE"] == "disabled" and "RAY_AUTH_TOKEN" not in os.environ


def test_a_message_of_ray_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    death = (
        "The node with node id: 5f and name: 10.0.0.2 has been marked dead because it missed too many heartbeats. "
        "This can happen when a \t(1) raylet crashes unexpectedly\n\t(2) raylet has lagging heartbeats.\n"
    )
    with caplog.at_level("WARNING", logger="pipeline"):
        ray_cluster._log_message({"lines": [death, "\n"], "pid": "raylet", "is_err": False}, ignore_prefix=False)
    (line,) = caplog.messages
    assert line.startswith("Ray: The node with node id: 5f") and line.endswith("missed too many heartbeats")


def test_the_object_store_fits_into_the_memory_of_the_control_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "available_bytes", lambda: 1_200_000_000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=64_000_000_000))
    assert ray_cluster._affordable(10_000_000_000) <= 300_000_000
