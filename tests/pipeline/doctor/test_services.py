"""Checks of MLflow's store, Ray's cluster and Prefect's server: available, unavailable, or not configured."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from pipeline.core.layout import Layout
from pipeline.doctor import services
from pipeline.doctor.check import Check, Status
from tests.support.loopback import serving
from tests.support.store_api import store_api


@pytest.fixture
def open_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def mlflow(layout: Layout) -> Check:
    (check,) = services.check_mlflow(layout)
    return check


def make_store(layout: Layout, num_runs: int) -> None:
    with closing(sqlite3.connect(layout.mlflow_db_path)) as store, store:
        store.execute("CREATE TABLE runs (run_uuid TEXT)")
        store.executemany("INSERT INTO runs VALUES (?)", [(str(k),) for k in range(num_runs)])


def test_connections(open_port: int, closed_port: int) -> None:
    for address in (f"127.0.0.1:{open_port}", f"http://127.0.0.1:{open_port}/api", f"ray://127.0.0.1:{open_port}"):
        assert services.connection_problem(address) == ""
    assert services.connection_problem(f"http://127.0.0.1:{closed_port}").startswith("does not answer")
    assert services.connection_problem("nonsense://") == "is not an address with host and port"
    assert services.connection_problem("127.0.0.1:notaport").startswith("is not an address with host and port: ")


def test_a_store_that_does_not_exist_yet_is_ok(layout: Layout) -> None:
    check = mlflow(layout)
    assert check.status is Status.OK
    assert not layout.mlflow_db_path.exists()


def test_a_store_is_opened_for_writing_and_not_changed(layout: Layout) -> None:
    make_store(layout, 3)
    before = layout.mlflow_db_path.read_bytes()
    check = mlflow(layout)
    assert (check.status, check.found) == (Status.OK, f"{layout.mlflow_db_path} is writable, 3 runs")
    assert layout.mlflow_db_path.read_bytes() == before


def test_a_store_in_use_warns_and_a_damaged_one_fails(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "_LOCK_S", 0.1)
    make_store(layout, 1)
    with closing(sqlite3.connect(layout.mlflow_db_path)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert mlflow(layout).status is Status.WARN
    layout.mlflow_db_path.write_bytes(b"no database at all" * 100)
    check = mlflow(layout)
    assert check.status is Status.FAIL
    assert "move it away" in check.remedy


def test_a_configured_store(layout: Layout, monkeypatch: pytest.MonkeyPatch, open_port: int, closed_port: int) -> None:
    with store_api() as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        assert mlflow(layout).status is Status.OK
        server.status = 500
        check = mlflow(layout)
        assert check.status is Status.WARN and "error 500" in check.found and "server's log" in check.remedy
    monkeypatch.setattr(services, "_ANSWER_S", 0.1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{open_port}")
    assert "did not answer" in mlflow(layout).found  # an open port is no server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://127.0.0.1:{open_port}/mlflow")
    assert mlflow(layout).status is Status.OK
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{closed_port}")
    check = mlflow(layout)
    assert check.status is Status.WARN
    assert "secret" not in check.found
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mlruns")
    assert mlflow(layout).status is Status.FAIL


def test_ray(layout: Layout, monkeypatch: pytest.MonkeyPatch, open_port: int, closed_port: int) -> None:
    def ray(address: str | None = None, mode: str | None = None) -> Check:
        for name, value in (("RAY_ADDRESS", address), ("RAY_AUTH_MODE", mode)):
            monkeypatch.delenv(name, raising=False)
            if value is not None:
                monkeypatch.setenv(name, value)
        (check,) = services.check_ray()
        return check

    assert ray().status is Status.OK
    assert ray("auto").status is Status.OK
    assert ray(f"127.0.0.1:{open_port}", "token").status is Status.OK
    assert ray(f"127.0.0.1:{open_port}").status is Status.WARN
    assert "can run any code" in ray(f"127.0.0.1:{open_port}", "disabled").found
    away = ray(f"ray://127.0.0.1:{closed_port}", "token")
    assert away.status is Status.FAIL
    assert "unset RAY_ADDRESS" in away.remedy
    assert ray("").status is Status.OK  # the pipeline treats an empty address as none


def test_prefect(layout: Layout, monkeypatch: pytest.MonkeyPatch, open_port: int, closed_port: int) -> None:
    assert services.check_prefect()[0].status is Status.OK

    def prefect(address: str) -> Check:
        monkeypatch.setenv("PREFECT_API_URL", address)
        (check,) = services.check_prefect()
        return check

    with store_api() as server:
        server.content = b"true"
        assert prefect(f"{server.url}/api").status is Status.OK
        assert [request[:2] for request in server.requests] == [("GET", "/api/health"), ("GET", "/api/admin/version")]
        server.content = b"<html>"
        assert "not as Prefect does" in prefect(f"{server.url}/api").found
        server.status = 404
        assert "error 404" in prefect(f"{server.url}/api").found
        server.status = 401
        denied = prefect(f"{server.url}/api")
        assert denied.status is Status.WARN and "denies access (401)" in denied.found
        assert "PREFECT_API_AUTH_STRING" in denied.remedy
    monkeypatch.setattr(services, "_ANSWER_S", 0.1)
    assert prefect(f"http://127.0.0.1:{open_port}/api").status is Status.FAIL  # an open port is no server
    away = prefect(f"http://127.0.0.1:{closed_port}/api")
    assert away.status is Status.FAIL and f"prefect server start --port {closed_port}" in away.remedy


@pytest.mark.parametrize(
    ("setting", "value", "header"),
    [
        ("PREFECT_API_AUTH_STRING", "team:secret", "Basic dGVhbTpzZWNyZXQ="),
        ("PREFECT_API_KEY", "secret", "Bearer secret"),
    ],
)
def test_prefect_is_asked_with_the_credentials_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, header: str
) -> None:
    with serving() as server:
        server.files = {"/api/health": b"true", "/api/admin/version": b'"3"'}
        monkeypatch.setenv("PREFECT_API_URL", f"{server.url}/api")
        monkeypatch.setenv(setting, value)
        assert services.check_prefect()[0].status is Status.OK
        assert server.authorizations == [header, header]
