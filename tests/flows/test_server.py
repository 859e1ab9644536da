"""A server that is named but not there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import reproduce, retrain, serve, server


@pytest.fixture
def nobody() -> Iterator[str]:
    """The address of a port where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/api"


def test_a_server_that_does_not_answer_is_told_before_anything_starts(
    own_stub_pipeline: Path, nobody: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(own_stub_pipeline)
    files = sorted(own_stub_pipeline.iterdir())
    with temporary_settings({PREFECT_API_URL: nobody.replace("//", "//anna:hunter2@")}):
        for command in (reproduce.main, retrain.main, serve.main):
            assert command(["--root", root]) == 2
            said = capsys.readouterr().err
            assert f"PREFECT_API_URL is {nobody}, which does not answer" in said
            assert "`prefect server start`" in said and "Traceback" not in said and "hunter2" not in said
    assert sorted(own_stub_pipeline.iterdir()) == files


def test_without_an_address_nothing_is_asked_and_serve_says_what_it_needs(
    own_stub_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert server.address() is None
        server.require_server()
        assert serve.main(["--root", str(own_stub_pipeline)]) == 2
        assert "PREFECT_API_URL is not set" in capsys.readouterr().err
