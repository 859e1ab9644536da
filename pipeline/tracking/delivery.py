"""The way of a run's records to MLflow: a journal on this disk, and a thread that sends it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from pipeline.core.errors import TemporaryError
from pipeline.core.layout import Layout
from pipeline.core.redact import redacted
from pipeline.tracking.journal import Journal, create_journal, has_left
from pipeline.tracking.recorder import RecordingClient
from pipeline.tracking.sender import OpenedRun, Sender, Store, send_left
from pipeline.tracking.store import open_client, set_mlflow_defaults
from pipeline.tracking.store_faults import StoreError, describe, is_server, server_fault, show_bug

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

UNSENT_RUN = "unsent"
"""Id of a run until the store has it."""
END_WAIT_S = 30.0
"""Longest time for which the end of a stage waits without a record being accepted by a server."""
LOCAL_WAIT_S = 300.0
"""The same for a database file. MLflow starts and creates a new one in this time."""
INTERRUPTED_WAIT_S = 5.0
"""The same for a stage that was ended: whoever ended it waits for it."""
OpenRun = Callable[["MlflowClient", Layout, Mapping[str, Any]], OpenedRun]


class Delivery:
    """The sending of one journal. Without a sender nothing is recorded."""

    def __init__(self, layout: Layout, journal: Journal | None = None, sender: Sender | None = None) -> None:
        self._layout, self._journal, self._sender = layout, journal, sender

    def finish(self, *, is_short: bool = False) -> str | None:
        """Send what is left. Returns the run's id, or None with a warning if records are still waiting."""
        if self._sender is None or self._journal is None:
            return None
        wait_s = END_WAIT_S if is_server(self._layout) else LOCAL_WAIT_S
        is_sent = self._sender.finish(INTERRUPTED_WAIT_S if is_short else wait_s)
        self._journal.close()
        if is_sent:
            return self._sender.run_id
        cause = self._sender.fault or "it answers slowly"
        logger.warning(
            "MLflow has not received all records of this run (%s); the next stage or `python -m pipeline sync-runs` "
            "sends the others",
            cause,
        )
        return None


@contextmanager
def journaled(
    layout: Layout, describe_run: Callable[[], Mapping[str, Any]], open_run: OpenRun
) -> Iterator[tuple[MlflowClient | None, Delivery]]:
    """Yield a client that records calls for a run, and the delivery of its records.

    ``describe_run`` returns a description of the run as JSON, from which ``open_run`` finds or creates it. The client
    is None if the run cannot be described, the journal cannot be written or MLflow cannot be imported, with a warning.
    """
    try:
        set_mlflow_defaults()
        import mlflow  # noqa: F401  (in this thread: two threads must not import the same packages)

        journal = create_journal(layout, describe_run())
    except Exception as error:  # no error of tracking may end the stage
        show_bug(error)
        logger.warning("this run is not tracked: %s", redacted(str(error)))
        yield None, Delivery(layout)
        return
    sender = Sender(journal, store_of(layout, open_run), layout)
    yield cast("MlflowClient", RecordingClient(journal, sender.wake)), Delivery(layout, journal, sender)


def store_of(layout: Layout, open_run: OpenRun) -> Store:
    return Store(partial(open_client, layout), lambda client, run: open_run(client, layout, run))


def send_left_runs(layout: Layout, open_run: OpenRun) -> int:
    """Send all journals that no running stage uses, and return their number.

    Raises TemporaryError that names the store's fault and its remedy.
    """
    if not has_left(layout):
        return 0
    store = store_of(layout, open_run)
    try:
        if fault := server_fault(layout):
            raise StoreError(fault)
        try:
            client = store.connect()
        except Exception as error:
            raise StoreError(describe(error, layout)) from error
        return send_left(client, store, layout)
    except StoreError as error:
        raise TemporaryError(f"MLflow cannot be used: {error.fault}; the records stay on this disk") from error
