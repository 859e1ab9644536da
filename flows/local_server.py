"""A Prefect server of one checkout, on the loopback interface."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.processes import end_processes
from pipeline.core.errors import TemporaryError, UserError
from pipeline.core.layout import Layout
from pipeline.core.locks import LockHeldError, locked_or_refused
from pipeline.core.ports import free_port, require_free
from pipeline.core.prefect_address import DEFAULT_PORT
from pipeline.core.proxies import LOOPBACK_HOST

_STARTUP_S = 300.0
_TAIL_BYTES = 2000


@contextmanager
def local_server(checkout: Path, port: int | None) -> Iterator[int]:
    """Start a server, let this context use it, and end it afterwards. Yields the id of its process.

    ``port``: None for the first free one from 4200. The runs are kept in ``.scratch/prefect``, the server's log is
    ``.scratch/logs/prefect-server.log``. Raises UserError if the port is taken or the server does not start, and
    TemporaryError if another process already serves the checkout.
    """
    if port is not None:
        require_free(port, LOOPBACK_HOST, "python -m flows.serve --with-server")
    layout = Layout(checkout)
    try:
        with locked_or_refused(layout.scratch_dir / "serve.lock", "flows.serve"):
            chosen = port or free_port(DEFAULT_PORT)
            with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{chosen}/api"}):
                server = _start(layout, chosen)
                try:
                    _wait(server, layout.prefect_log_path)
                    yield server.pid
                finally:
                    _end(server)
    except LockHeldError as error:
        raise TemporaryError(f"{error.holder or 'another process'} already serves {checkout}; stop it first") from None


def _start(layout: Layout, port: int) -> subprocess.Popen[bytes]:
    layout.logs_dir.mkdir(parents=True, exist_ok=True)
    home = layout.scratch_dir / "prefect"
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_API_", "PREFECT_UI_"))}
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", LOOPBACK_HOST, "--port", str(port)]
    with layout.prefect_log_path.open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=layout.root,
            env=kept
            | {
                "PREFECT_HOME": str(home),
                "PREFECT_UI_API_URL": f"http://127.0.0.1:{port}/api",  # without it the page asks port 4200
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C ends the flow runs first, which still report to the server
        )


def _wait(server: subprocess.Popen[bytes], log_path: Path) -> None:
    """Return when the server answers."""
    deadline = time.monotonic() + _STARTUP_S
    with get_client(sync_client=True) as client:
        while client.api_healthcheck() is not None:
            if server.poll() is not None or time.monotonic() > deadline:
                end = log_path.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()
                raise UserError(f"Prefect's server did not start; the end of its log, {log_path}:\n{end}")
            time.sleep(0.5)


def _end(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        process = psutil.Process(server.pid)
        end_processes([process, *process.children(recursive=True)])
    server.wait()
