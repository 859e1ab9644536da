"""Ports that are in use, and the advice about them."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from pipeline.core.errors import UserError
from pipeline.core.ports import free_port, host_in_url, is_free, require_free


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_free_port_is_one_on_which_no_program_listens(taken: int) -> None:
    assert not is_free(taken)
    assert free_port(taken) > taken


def test_a_port_in_use_is_an_error_that_names_another(taken: int) -> None:
    message = rf"port {taken} of 127\.0\.0\.1 cannot be used \(.*in use\); .*: python -m x --port {taken + 1}"
    with pytest.raises(UserError, match=message):
        require_free(taken, "127.0.0.1", "python -m x")


def test_an_address_of_another_machine_is_an_error() -> None:
    with pytest.raises(UserError, match=r"of 192\.0\.2\.1 cannot be used"):
        require_free(8000, "192.0.2.1", "python -m x")


def test_all_ports_taken_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.core.ports.is_free", lambda port, host: False)
    with pytest.raises(UserError, match=r"no port of 127\.0\.0\.1 from 4200 to 4299 is free"):
        free_port(4200)


@pytest.mark.parametrize(
    ("host", "written"), [("127.0.0.1", "127.0.0.1"), ("localhost", "localhost"), ("::1", "[::1]"), ("::", "[::]")]
)
def test_an_ipv6_address_has_brackets_in_a_url(host: str, written: str) -> None:
    assert host_in_url(host) == written
