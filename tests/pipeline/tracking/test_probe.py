"""Each fault of an MLflow server is named, with a remedy."""

from __future__ import annotations

import base64
import socket

import pytest

from pipeline.tracking.probe import find_fault
from tests.support.store_api import store_api

HOST_MESSAGE = b"Invalid Host header - possible DNS rebinding attack detected"


def test_a_server_that_answers_has_no_fault_and_gets_the_credentials_of_the_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    with store_api() as server:
        assert find_fault(server.url.replace("//", "//anna:hunter%402@") + "/") is None
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t")
        assert find_fault(server.url) is None
    path = "/api/2.0/mlflow/experiments/search"
    basic = base64.b64encode(b"anna:hunter@2").decode()
    assert server.requests == [("POST", path, f"Basic {basic}"), ("POST", path, "Bearer t")]


@pytest.mark.parametrize(
    ("status", "content", "problem", "remedy"),
    [
        (500, b"", "answers with error 500", "read the server's log"),
        (403, HOST_MESSAGE, "refuses requests that name it", "--allowed-hosts 127.0.0.1:"),
        (403, b"Permission denied", "denies access (403)", "MLFLOW_TRACKING_USERNAME"),
        (401, b"", "denies access (401)", "MLFLOW_TRACKING_PASSWORD"),
        (404, b"", "has no MLflow API (404)", "address of an MLflow server"),
        (200, b"<html>", "not as MLflow does", "to an MLflow server"),
        (
            500,
            b"Detected out-of-date database schema (found version a)",
            "another version of MLflow",
            "mlflow db upgrade",
        ),
    ],
    ids=["500", "host", "403", "401", "404", "page", "schema"],
)
def test_an_answer_that_is_a_fault(status: int, content: bytes, problem: str, remedy: str) -> None:
    with store_api() as server:
        server.status, server.content = status, content
        fault = find_fault(server.url.replace("//", "//anna:hunter2@"))
    assert fault is not None
    assert problem in fault.problem and remedy in fault.remedy
    assert "hunter2" not in str(fault)


def test_a_server_that_is_down_hangs_or_has_no_valid_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        down = find_fault(f"http://127.0.0.1:{port}")
    assert down is not None and "cannot be reached" in down.problem
    assert f"`mlflow server --port {port}`" in down.remedy
    with store_api() as server:
        server.answers.clear()
        hanging = find_fault(server.url, patience_s=0.2)
    assert hanging is not None
    assert "did not answer within 0.2 s" in hanging.problem and "restart the server" in hanging.remedy
    invalid = find_fault("http://127.0.0.1:port")
    assert invalid is not None and "correct MLFLOW_TRACKING_URI" in invalid.remedy
