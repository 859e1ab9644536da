"""Checks of services: MLflow's store, Ray's cluster, Prefect's server. Nothing is started."""

from __future__ import annotations

import base64
import http.client
import os
import socket
import sqlite3
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.core.layout import Layout
from pipeline.core.prefect_address import PASSWORD_ADVICE, start_advice
from pipeline.core.proxies import bypass_proxies_for_loopback
from pipeline.core.redact import redacted
from pipeline.doctor.check import Check, fail, ok, warn
from pipeline.tracking.probe import find_fault
from pipeline.tracking.store import store_uri

_CONNECT_S = 3.0
_ANSWER_S = 5.0
_MOST_BYTES = 1000
_LOCK_S = 5.0
_DENIED = (401, 403)
_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "ray": 10001, "": 6379}


def connection_problem(address: str, limit_s: float = _CONNECT_S) -> str:
    """Why a TCP connection to ``host:port`` or a URL fails, or "" if it succeeds."""
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme.partition("+")[0])
    except ValueError as error:
        return f"is not an address with host and port: {error}"
    if not host or port is None:
        return "is not an address with host and port"
    try:
        socket.create_connection((host, port), timeout=limit_s).close()
    except (OSError, UnicodeError) as error:  # UnicodeError: a host name that IDNA cannot encode
        return f"does not answer: {error}"
    return ""


def check_mlflow(layout: Layout) -> list[Check]:
    uri = store_uri(layout)
    if uri.startswith("sqlite:"):
        return [_check_sqlite(Path(uri.partition(":///")[2].partition("?")[0]))]
    if "://" not in uri or uri.startswith("file:"):
        remedy = "unset MLFLOW_TRACKING_URI, or set it to a server or to sqlite:///FILE: MLflow rejects folders"
        return [fail("MLflow", f"{uri} is neither a server nor a database", remedy)]
    if not uri.startswith(("http://", "https://")):
        if problem := connection_problem(uri):
            remedy = "start the database, or unset MLFLOW_TRACKING_URI to use mlflow.db"
            return [warn("MLflow", f"{redacted(uri)} {problem}", remedy)]
        return [ok("MLflow", f"{redacted(uri)} accepts connections")]
    if fault := find_fault(uri, _ANSWER_S):
        remedy = f"{fault.remedy}; meanwhile the records of runs wait on this disk"
        return [warn("MLflow", fault.problem, remedy)]
    return [ok("MLflow", f"the API of {redacted(uri)} answers")]


def _check_sqlite(path: Path) -> Check:
    if not path.exists():
        folder = path.resolve().parent
        if os.access(folder, os.W_OK):
            return ok("MLflow", f"{path} will be created by the first stage")
        return fail("MLflow", f"{folder} is not writable", "make the folder writable for this user")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=_LOCK_S)) as store:
            store.execute("BEGIN IMMEDIATE")
            store.rollback()
            is_new = not store.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs'").fetchall()
            runs = 0 if is_new else store.execute("SELECT count(*) FROM runs").fetchone()[0]
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            remedy = "run doctor again when no other process writes to it"
            return warn("MLflow", f"{path} was locked for {_LOCK_S:g} s", remedy)
        return fail("MLflow", f"{path}: {error}", "make the file writable for this user, or move it away")
    except sqlite3.DatabaseError as error:
        return fail("MLflow", f"{path}: {error}", "move it away; the next stage creates a new one")
    return ok("MLflow", f"{path} is writable, {runs} runs")


def check_ray() -> list[Check]:
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        return [ok("Ray", "RAY_ADDRESS is not set: preprocessing starts its own workers")]
    if address in ("auto", "local"):
        return [ok("Ray", f"RAY_ADDRESS is {address}")]
    if problem := connection_problem(address):
        remedy = "start the cluster (`ray start --head`), or unset RAY_ADDRESS to use this machine"
        return [fail("Ray", f"RAY_ADDRESS {address!r} {problem}", remedy)]
    mode = os.environ.get("RAY_AUTH_MODE")
    if mode is None:
        remedy = "set RAY_AUTH_MODE=token on every node: the defaults differ, and connections then hang"
        return [warn("Ray", f"{address} answers, but RAY_AUTH_MODE is not set", remedy)]
    if mode != "token":
        remedy = "secure the cluster with a token (docs/cluster.md)"
        found = f"{address} answers, RAY_AUTH_MODE is {mode}: whoever reaches the cluster can run any code there"
        return [warn("Ray", found, remedy)]
    return [ok("Ray", f"{address} answers, RAY_AUTH_MODE is {mode}")]


def check_prefect() -> list[Check]:
    address = os.environ.get("PREFECT_API_URL")
    if not address:
        return [ok("Prefect", "PREFECT_API_URL is not set: each flow starts its own server")]
    if problem := _prefect_problem(address):
        remedy = f"{start_advice(address)}, or unset PREFECT_API_URL"
        return [fail("Prefect", f"{redacted(address)} {problem}", remedy)]
    if status := _prefect_denial(address):
        remedy = f"{PASSWORD_ADVICE}, unless Prefect's profile has it"
        return [warn("Prefect", f"{redacted(address)} denies access ({status})", remedy)]
    return [ok("Prefect", f"the API of {redacted(address)} answers")]


def _prefect_problem(address: str) -> str:
    """Why the API's health check fails, or "" if it succeeds."""
    try:
        is_healthy = _ask_prefect(address, "health").strip() == b"true"
    except urllib.error.HTTPError as error:
        if error.code in _DENIED:  # it answers; `_prefect_denial` names the rest
            return ""
        return f"answers with error {error.code}: no Prefect API is there"
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return f"does not answer: {redacted(str(reason))}"
    return "" if is_healthy else "answers, but not as Prefect does"


def _prefect_denial(address: str) -> int | None:
    """The status with which the API denies access with the environment's password, if it does."""
    try:
        _ask_prefect(address, "admin/version")
    except urllib.error.HTTPError as error:
        return error.code if error.code in _DENIED else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    return None


def _ask_prefect(address: str, path: str) -> bytes:
    """The start of the answer of Prefect's API. Raises the errors of urllib."""
    bypass_proxies_for_loopback()
    parts = urlsplit(address)
    credentials, _, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(f"{parts._replace(netloc=host).geturl().rstrip('/')}/{path}")
    if pair := os.environ.get("PREFECT_API_AUTH_STRING") or unquote(credentials):
        request.add_header("Authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")
    elif key := os.environ.get("PREFECT_API_KEY"):
        request.add_header("Authorization", f"Bearer {key}")
    with urllib.request.urlopen(request, timeout=_ANSWER_S) as response:
        content: bytes = response.read(_MOST_BYTES)
        return content
