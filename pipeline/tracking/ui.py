"""The MLflow page of a checkout: its address, and the local server that shows it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
import webbrowser
from contextlib import suppress
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import psutil

from pipeline.core.errors import LipsmithError, UserError
from pipeline.core.layout import Layout
from pipeline.core.ports import require_free
from pipeline.tracking.store import experiment_name, naming_the_store, open_client, set_mlflow_defaults
from pipeline.tracking.view import latest_view, runs_address

logger = logging.getLogger(__name__)

HOST, PORT = "127.0.0.1", 5000
_END_S = 5.0
"""Time in which the server's processes may end by themselves."""
_START_S = 120.0
"""Longest time in which the server starts. A new store is migrated first."""


def first_page(layout: Layout) -> str:
    """The page to open, relative to the server: the runs of the latest comparison, otherwise all runs.

    The experiment is that of ``dataset.source`` in ``params.yaml``. Without it, the page is the list of experiments.
    Raises UserError if the store cannot be used, such as the database of another version of MLflow.
    """
    from pipeline.params import load_params

    if not layout.mlflow_db_path.is_file():
        return "#/experiments"
    try:
        name = experiment_name(load_params(layout.params_path).dataset.source)
    except LipsmithError:
        return "#/experiments"
    with naming_the_store(layout, UserError):
        client = open_client(layout)
        found = client.get_experiment_by_name(name)
        if found is None:
            return "#/experiments"
        return runs_address(str(found.experiment_id), latest_view(client, str(found.experiment_id)))


def serve(layout: Layout, port: int = PORT, *, opens: bool = True) -> int:
    """Serve the checkout's own store until Ctrl-C, print the page's address, open it if there is a screen.

    Returns the server's exit code, 0 after Ctrl-C. Raises UserError if the port is in use.
    """
    require_free(port, HOST, "python -m pipeline.tracking")
    set_mlflow_defaults()
    address = f"http://{HOST}:{port}/{first_page(layout)}"
    arguments = ["--backend-store-uri", f"sqlite:///{layout.mlflow_db_path}", "--artifacts-destination", "mlruns"]
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        *arguments,
        "--host",
        HOST,
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server = subprocess.Popen(command, cwd=layout.root, env=environment)
    try:
        logger.warning("the runs: %s (in some seconds; Ctrl-C stops the server)", address)
        if opens and _has_screen() and _wait(server, port):
            webbrowser.open(address)
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        _end(server)


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server with its workers, which would outlive it. Those that do not end in time are killed."""
    try:
        first = psutil.Process(server.pid)
        processes = [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        processes = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=_END_S)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    server.wait()


def _wait(server: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the server answers. Returns False if it ended or did not answer in time."""
    opener = build_opener(ProxyHandler({}))  # a proxy does not reach this machine
    deadline = time.monotonic() + _START_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with opener.open(f"http://{HOST}:{port}/health", timeout=5):
                return True
        except (URLError, OSError):
            time.sleep(0.3)
    return False


def _has_screen() -> bool:
    """Whether a browser can open a window. A browser in the terminal would hide the server's messages."""
    return sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
