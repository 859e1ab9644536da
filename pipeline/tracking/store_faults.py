"""Why MLflow's store accepts nothing, or which error is that of a single record or journal."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pipeline.core.errors import TemporaryError
from pipeline.core.layout import Layout
from pipeline.core.redact import redacted
from pipeline.tracking.probe import SCHEMA_REMEDY, ServerFault, find_fault, is_about_schema
from pipeline.tracking.store import store_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

_OUTAGE_CODES = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "PERMISSION_DENIED")
"""MLflow's codes of errors that concern the store. A full disk of a server rejects writes and still answers."""


class StoreError(TemporaryError):
    """The store accepts nothing at present. ``fault`` names the cause and the remedy."""

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.fault = fault


def fault_while_sending(error: Exception, client: MlflowClient, run: str, layout: Layout) -> str:
    """Why the store accepts nothing, or "" if it rejected one record only."""
    if getattr(error, "error_code", "") in _OUTAGE_CODES or not _answers(client, run):
        return describe(error, layout)
    return ""


def fault_while_opening(error: Exception, client: MlflowClient, layout: Layout) -> str:
    """Why the store accepts nothing, or "" if the journal is at fault. An OSError is the fault of disk or network."""
    if isinstance(error, StoreError):
        return error.fault
    if isinstance(error, OSError | TemporaryError) or getattr(error, "error_code", "") in _OUTAGE_CODES:
        return describe(error, layout)
    try:
        client.search_experiments(max_results=1)
    except Exception:  # whatever its type, the store did not answer
        return describe(error, layout)
    return ""


def _answers(client: MlflowClient, run: str) -> bool:
    try:
        client.get_run(run)
    except Exception:  # whatever its type, the store did not answer
        return False
    return True


def server_fault(layout: Layout) -> str:
    """What is wrong with the server of the store; "" if it answers or the store is no server."""
    return str(find_fault(store_uri(layout)) or "") if is_server(layout) else ""


def is_server(layout: Layout) -> bool:
    return store_uri(layout).startswith(("http://", "https://"))


def describe(error: Exception, layout: Layout) -> str:
    """Why the store cannot be used, with the remedy. A server is asked, since its client's errors are long."""
    text = redacted(str(error))
    uri = store_uri(layout)
    if fault := server_fault(layout):
        return fault
    if is_about_schema(text):
        return str(ServerFault(f"{redacted(uri)} has the schema of another version of MLflow", SCHEMA_REMEDY))
    return f"{type(error).__name__}: {' '.join(text.split())[:300]}"


def show_bug(error: Exception) -> None:
    """Log the traceback of an error that may be a bug of this package."""
    if isinstance(error, TypeError | LookupError | AttributeError | NameError | AssertionError):
        logger.warning("tracking failed with an unexpected error", exc_info=error)
