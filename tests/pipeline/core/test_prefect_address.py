"""The commands that start a server at an address."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from pipeline.core import prefect_address
from pipeline.core.prefect_address import own_server_advice, start_advice


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("http://127.0.0.1:4200/api", "start it with `prefect server start`"),
        ("http://localhost:4207/api", "start it with `prefect server start --port 4207`"),
        ("http://[::1]:4207/api", "start it with `prefect server start --port 4207`"),
        ("http://127.0.0.1/api", "start it with `prefect server start --port 80`"),
        ("https://prefect.lab/api", "start the server on prefect.lab"),
        ("http://127.0.0.1:x/api", "correct PREFECT_API_URL, for example to http://127.0.0.1:4200/api"),
    ],
)
def test_the_port_of_the_address_is_the_port_of_the_command(url: str, advice: str) -> None:
    assert start_advice(url) == advice


def test_a_second_server_gets_a_free_port_and_its_own_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(prefect_address, "DEFAULT_PORT", taken.getsockname()[1] - 1)
        advice = own_server_advice(tmp_path / "my checkout")
        ports = {int(port) for port in re.findall(r"(?:--port |127\.0\.0\.1:)(\d+)", advice)}
        assert len(ports) == 1 and min(ports) > taken.getsockname()[1]
    assert f"PREFECT_HOME='{tmp_path}/my checkout/.scratch/prefect' prefect server start" in advice
