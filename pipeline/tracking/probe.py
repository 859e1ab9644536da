"""Calls the API of an MLflow server and names what is wrong, with a remedy. It does not import MLflow."""

from __future__ import annotations

import base64
import http.client
import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from pipeline.core.proxies import LOOPBACK, bypass_proxies_for_loopback
from pipeline.core.redact import redacted

ANSWER_S = 10.0
"""Time that a server has for an answer."""
_PATH = "/api/2.0/mlflow/experiments/search"
_BODY = json.dumps({"max_results": 1}).encode()
_MAX_ANSWER = 1_000_000


@dataclass(frozen=True)
class ServerFault:
    """What is wrong with a server, and what the user can do. Neither text has a password."""

    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}"


def find_fault(uri: str, patience_s: float = ANSWER_S) -> ServerFault | None:
    """Ask the server at ``uri`` (http or https) for one experiment. None if the answer is that of an MLflow server."""
    bypass_proxies_for_loopback()
    try:
        with urllib.request.urlopen(_request(uri), timeout=patience_s) as response:
            return _fault_of_answer(uri, response.read(_MAX_ANSWER))
    except urllib.error.HTTPError as error:
        return _fault_of_status(uri, error.code, error.read(_MAX_ANSWER).decode(errors="replace"))
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return _fault_of_connection(uri, reason, patience_s)


def _request(uri: str) -> urllib.request.Request:
    parts = urlsplit(uri)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    request = urllib.request.Request(f"{address}{_PATH}", data=_BODY, headers={"Content-Type": "application/json"})
    user = os.environ.get("MLFLOW_TRACKING_USERNAME") or unquote(parts.username or "")
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD") or unquote(parts.password or "")
    if user:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {pair}")
    elif token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        request.add_header("Authorization", f"Bearer {token}")
    return request


def _fault_of_answer(uri: str, content: bytes) -> ServerFault | None:
    try:
        is_mlflow = isinstance(json.loads(content), dict)
    except ValueError:
        is_mlflow = False
    if is_mlflow:
        return None
    return ServerFault(
        f"{redacted(uri)} answers, but not as MLflow does", "set MLFLOW_TRACKING_URI to an MLflow server"
    )


def _fault_of_status(uri: str, status: int, text: str) -> ServerFault:
    named = redacted(uri)
    if status == 403 and "host" in text.lower():
        host = urlsplit(uri).netloc.rpartition("@")[2]
        return ServerFault(
            f"{named} refuses requests that name it {host} (403)",
            f"restart the server with `--allowed-hosts {host}`, which takes several names separated by commas",
        )
    if status in (401, 403):
        return ServerFault(
            f"{named} denies access ({status})",
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to a user who may write",
        )
    if status == 404:
        return ServerFault(
            f"{named} has no MLflow API (404)",
            "set MLFLOW_TRACKING_URI to the address of an MLflow server, with its path",
        )
    if "schema" in text.lower() or "no such column" in text.lower() or "no such table" in text.lower():
        return ServerFault(f"{named} has a database of another version of MLflow ({status})", SCHEMA_REMEDY)
    return ServerFault(f"{named} answers with error {status}", "read the server's log, and restart the server")


_SCHEMA_WORDS = ("database schema", "out-of-date", "no such table", "no such column", "Can't locate revision")
SCHEMA_REMEDY = (
    "if the database is older, back it up and run `mlflow db upgrade ADDRESS`; if it is newer, install the newer MLflow"
)


def is_about_schema(text: str) -> bool:
    """Whether an error of MLflow, or of its database, comes from a database of another version."""
    return any(word in text for word in _SCHEMA_WORDS)


def _fault_of_connection(uri: str, reason: object, patience_s: float) -> ServerFault:
    named = redacted(uri)
    if isinstance(reason, TimeoutError):
        return ServerFault(f"{named} did not answer within {patience_s:g} s", "restart the server if it hangs")
    parts = urlsplit(uri)
    remedy = "start the server, or unset MLFLOW_TRACKING_URI to use the checkout's own store"
    try:
        if parts.hostname in LOOPBACK and parts.port:
            remedy = remedy.replace("start the server", f"start it with `mlflow server --port {parts.port}`")
    except ValueError:
        remedy = "correct MLFLOW_TRACKING_URI, for example to http://127.0.0.1:5000"
    return ServerFault(f"{named} cannot be reached ({redacted(str(reason))})", remedy)
