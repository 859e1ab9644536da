"""Addresses of Prefect servers, and the commands that start a server at an address."""

from __future__ import annotations

import shlex
import socket
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.core.layout import Layout
from pipeline.core.proxies import LOOPBACK

DEFAULT_PORT = 4200
_HTTP_PORTS = {"http": 80, "https": 443}
_NUM_PORTS = 100
PASSWORD_ADVICE = "set PREFECT_API_AUTH_STRING to USER:PASSWORD, as the server has it in PREFECT_SERVER_API_AUTH_STRING"


def start_advice(api_url: str) -> str:
    """How to start the server that ``PREFECT_API_URL`` names: the command, or the host on which it must run."""
    try:
        parts = urlsplit(api_url)
        host, port = parts.hostname or "", parts.port or _HTTP_PORTS.get(parts.scheme, DEFAULT_PORT)
    except ValueError:
        return "correct PREFECT_API_URL, for example to http://127.0.0.1:4200/api"
    if host not in LOOPBACK:
        return f"start the server on {host}"
    return f"start it with `prefect server start{'' if port == DEFAULT_PORT else f' --port {port}'}`"


def own_server_advice(checkout: Path) -> str:
    """The commands that start a server for this checkout beside another server, and let flows use it.

    Two servers with the same ``PREFECT_HOME`` share one database, whatever their ports are.
    """
    port = _free_port()
    home = shlex.quote(str(Layout(checkout).scratch_dir / "prefect"))
    return (
        f"start a second server with its own database (`PREFECT_HOME={home} prefect server start --port {port}`), "
        f"run `export PREFECT_API_URL=http://127.0.0.1:{port}/api` and try again"
    )


def _free_port() -> int:
    """The first port after the default one on which no program listens on this machine."""
    for port in range(DEFAULT_PORT + 1, DEFAULT_PORT + _NUM_PORTS):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return DEFAULT_PORT + 1
