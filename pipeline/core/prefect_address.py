"""Addresses of Prefect servers, and the commands that start a server at an address."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

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


def free_port(first: int) -> int:
    """The first port from ``first`` on which no program listens on this machine."""
    return next((port for port in range(first, first + _NUM_PORTS) if is_free(port)), first)


def is_free(port: int) -> bool:
    """Whether no program listens on a port of this machine's loopback interface."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
