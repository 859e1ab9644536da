"""Ports on which servers of this machine listen."""

from __future__ import annotations

import socket

from pipeline.core.errors import UserError
from pipeline.core.proxies import LOOPBACK_HOST

_NUM_PORTS = 100


def is_free(port: int, host: str = LOOPBACK_HOST) -> bool:
    """Whether a server can listen on a port of an address of this machine."""
    return _fault(host, port) is None


def free_port(first: int, host: str = LOOPBACK_HOST) -> int:
    """The first port from ``first`` on that is free. Raises UserError if none of 100 ports is."""
    for port in range(first, first + _NUM_PORTS):
        if is_free(port, host):
            return port
    raise UserError(f"no port of {host} from {first} to {first + _NUM_PORTS - 1} is free; stop a program that uses one")


def host_in_url(host: str) -> str:
    """A name or an address as URLs write it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def require_free(port: int, host: str, command: str) -> None:
    """Raises UserError if a port of an address is not free. ``command``: what takes the option ``--port``."""
    if reason := _fault(host, port):
        raise UserError(
            f"port {port} of {host} cannot be used ({reason}); stop the program that uses it, or choose another port: "
            f"{command} --port {port + 1}"
        )


def _fault(host: str, port: int) -> str | None:
    """Why no server can listen there; None if one can."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return None
