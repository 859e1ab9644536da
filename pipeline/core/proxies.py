"""Connections to this machine never go through a proxy."""

from __future__ import annotations

import os

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_EXCEPTIONS = ("no_proxy", "NO_PROXY")
LOOPBACK_HOST = "127.0.0.1"
LOOPBACK = ("localhost", LOOPBACK_HOST, "::1")


def bypass_proxies_for_loopback() -> None:
    """Add the loopback names to ``no_proxy`` if a proxy is set.

    A proxy cannot reach the servers that listen on this machine's loopback interface. Call it before the first client
    is made: clients read the variables once.
    """
    if not any(os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXIES):
        return
    given = [host.strip() for name in _EXCEPTIONS for host in os.environ.get(name, "").split(",")]
    if "*" in given:
        return
    hosts = ",".join(dict.fromkeys([*filter(None, given), *LOOPBACK]))
    for name in _EXCEPTIONS:
        os.environ[name] = hosts
