"""Loopback servers are reached without the proxy of the environment."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

import httpx
import pytest
import requests

from pipeline.core.proxies import bypass_proxies_for_loopback
from tests.support.loopback import serving

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        for spelled in (name, name.upper()):
            monkeypatch.setenv(spelled, "")
            monkeypatch.delenv(spelled)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_clients_reach_a_loopback_server_although_the_proxy_is_dead(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken, serving() as server:
        taken.bind(("127.0.0.1", 0))  # no proxy listens there
        monkeypatch.setenv(name, f"http://127.0.0.1:{taken.getsockname()[1]}")
        server.files["/x"] = b"here"
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{server.url}/x")
        bypass_proxies_for_loopback()
        for host in ("127.0.0.1", "localhost"):
            url = f"http://{host}:{server.server_port}/x"
            assert httpx.get(url).content == requests.get(url, timeout=5).content == b"here"


def test_hosts_that_need_no_proxy_stay_and_others_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "intra.net, .lab")
    bypass_proxies_for_loopback()
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == "intra.net,.lab,localhost,127.0.0.1,::1"
    before = dict(os.environ)
    bypass_proxies_for_loopback()
    assert dict(os.environ) == before
    assert getproxies()["https"] == "http://proxy:3128"
    assert not proxy_bypass("example.org") and proxy_bypass("127.0.0.1")


def test_without_a_proxy_or_with_an_exception_for_all_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(os.environ)
    bypass_proxies_for_loopback()
    assert dict(os.environ) == before
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "*")
    before = dict(os.environ)
    bypass_proxies_for_loopback()
    assert dict(os.environ) == before


def test_flows_bypass_the_proxy_before_prefect_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    code = "import os, sys, flows; print(os.environ['no_proxy'], 'prefect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["localhost,127.0.0.1,::1", "False"]
