"""The commands that start a server at an address."""

from __future__ import annotations

import pytest

from pipeline.core.prefect_address import start_advice


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
