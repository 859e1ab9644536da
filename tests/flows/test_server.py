"""PREFECT_API_URL that names no running server, and PREFECT_API_URL that is not set."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import reproduce, retrain, serve, server
from tests.support.loopback import serving


@pytest.fixture
def dead_address() -> Iterator[str]:
    """The address of a port on which no server listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/api"


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_reported_before_a_flow_starts(
    own_stub_pipeline: Path, dead_address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(own_stub_pipeline)
    files = sorted(own_stub_pipeline.iterdir())
    with temporary_settings({PREFECT_API_URL: dead_address.replace("//", "//anna:hunter2@")}):
        for command in (reproduce.main, retrain.main, serve.main):
            assert command(["--root", root]) == 2
            message = capsys.readouterr().err
            assert f"PREFECT_API_URL is {dead_address}, which does not answer" in message
            port = dead_address.rpartition(":")[2].removesuffix("/api")
            assert f"start it with `prefect server start --port {port}`" in message
            assert "Traceback" not in message and "hunter2" not in message
    assert sorted(own_stub_pipeline.iterdir()) == files


def test_without_an_address_no_server_is_required_except_for_serve(
    own_stub_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert server.address() is None
        server.require_server()
        assert serve.main(["--root", str(own_stub_pipeline)]) == 2
        assert "PREFECT_API_URL is not set" in capsys.readouterr().err


def test_a_server_that_denies_access_is_reported_before_a_flow_starts(
    own_stub_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prefect answers the health check without a password."""
    with serving() as refusing, temporary_settings({PREFECT_API_URL: f"{refusing.url}/api"}):
        refusing.files = {"/api/health": b"true"}
        refusing.forbidden = {"/api/admin/version"}
        assert serve.main(["--root", str(own_stub_pipeline)]) == 2
    message = capsys.readouterr().err
    assert "which denies access (403); set PREFECT_API_AUTH_STRING to USER:PASSWORD" in message
    assert "Traceback" not in message
