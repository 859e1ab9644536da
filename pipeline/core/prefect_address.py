"""Addresses of Prefect servers, and the commands that start a server at an address."""

from __future__ import annotations

from urllib.parse import urlsplit

from pipeline.core.proxies import LOOPBACK

DEFAULT_PORT = 4200
_HTTP_PORTS = {"http": 80, "https": 443}
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
