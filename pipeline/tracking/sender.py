"""Sends journals to MLflow's store in a thread, so that a stage never waits for the store."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.core.layout import Layout
from pipeline.core.locks import locked
from pipeline.core.redact import redacted
from pipeline.tracking.journal import Journal, left_journals, set_aside
from pipeline.tracking.recorder import joined, name_of, send_record
from pipeline.tracking.store_faults import (
    StoreError,
    describe,
    fault_while_opening,
    fault_while_sending,
    server_fault,
    show_bug,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0
"""Time between two attempts to reach a store: it doubles with every failure."""
SHORT_WAIT_S = 2.0
"""Longest time for which the end of a stage waits for a store that has just failed."""


class OpenedRun(NamedTuple):
    """Ids in the store."""

    run: str
    parent: str | None


class Store(NamedTuple):
    """How to reach a store: ``connect`` returns its client, ``open_run`` finds or creates a journal's run."""

    connect: Callable[[], MlflowClient]
    open_run: Callable[[MlflowClient, Mapping[str, Any]], OpenedRun]


def send_records(client: MlflowClient, opened: OpenedRun, journal: Journal, layout: Layout) -> None:
    """Send the records that the store has not accepted. Raises StoreError if the store fails.

    A record that an answering store rejects is lost, with a warning.
    """
    for record, end in joined(journal.unsent()):
        try:
            send_record(client, opened.run, opened.parent, journal.folder, record)
        except Exception as error:
            if fault := fault_while_sending(error, client, opened.run, layout):
                raise StoreError(fault) from error
            show_bug(error)
            logger.warning("MLflow rejected %s, which is lost: %s", name_of(record), redacted(str(error)))
        journal.mark_sent(end)


def send_left(client: MlflowClient, store: Store, layout: Layout) -> int:
    """Send the journals of earlier stages, and return their number. Raises StoreError if the store fails.

    A journal without a final status was left by a killed stage: its run gets the status KILLED. A journal that an
    answering store does not take (it is damaged, or of another release) is set aside, so that it does not block others.
    """
    num = 0
    for journal in left_journals(layout):
        try:
            if not journal.has_status():
                journal.append({"kind": "status", "status": "KILLED", "end_ms": int(time.time() * 1000)})
            send_records(client, _opened(client, store, journal, layout), journal, layout)
            num += 1
        except Exception as error:
            if fault := fault_while_opening(error, client, layout):
                raise StoreError(fault) from error
            set_aside(layout, journal.folder, error)
        finally:
            journal.close()
    return num


def opened_run(client: MlflowClient, store: Store, journal: Journal, layout: Layout) -> OpenedRun:
    """The journal's run in the store. Raises StoreError if it cannot be opened."""
    try:
        return _opened(client, store, journal, layout)
    except Exception as error:
        show_bug(error)
        raise StoreError(describe(error, layout)) from error


def _opened(client: MlflowClient, store: Store, journal: Journal, layout: Layout) -> OpenedRun:
    lock = Layout(layout.home).scratch_dir / "mlflow-run.lock"
    with locked(lock, "opening an MLflow run"):  # two must not create the same
        opened = _opened_before(client, journal) or store.open_run(client, journal.run)
        journal.note_opened(*opened)
        return opened


def _opened_before(client: MlflowClient, journal: Journal) -> OpenedRun | None:
    """The run to which earlier records of the journal went; None if there is none, or if this store lacks it."""
    from mlflow.exceptions import MlflowException

    if not journal.opened:
        return None
    run, parent = journal.opened
    assert run is not None
    try:
        client.get_run(run)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return OpenedRun(run, parent)


class Sender:
    """A thread that sends the journals of earlier stages and then the records of one journal, as they are written."""

    def __init__(self, journal: Journal, store: Store, layout: Layout) -> None:
        self._journal, self._store, self._layout = journal, store, layout
        self._wake, self._is_ending = threading.Event(), threading.Event()
        self.fault = ""
        """Why the store accepts nothing at present."""
        self.run_id: str | None = None
        """Id of the run, as soon as the store has it."""
        self._thread = threading.Thread(target=self._work, name="mlflow-sender", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Call this after a record was written."""
        self._wake.set()

    def finish(self, wait_s: float) -> bool:
        """Send what is left and return whether all records were sent.

        Waits as long as records are accepted, at most ``wait_s`` for the next one, and `SHORT_WAIT_S` if the store has
        failed.
        """
        self._is_ending.set()
        self._wake.set()
        accepted, since = self._journal.sent_bytes, time.monotonic()
        while self._thread.is_alive() and time.monotonic() < since + (SHORT_WAIT_S if self.fault else wait_s):
            self._thread.join(0.05)
            if self._journal.sent_bytes != accepted:
                accepted, since = self._journal.sent_bytes, time.monotonic()
        return not self._thread.is_alive() and not self._journal.unsent()

    def _work(self) -> None:
        try:
            self._send_until_end()
        except Exception as error:  # a bug must not end the stage; the records stay on this disk
            self._note_fault(f"{type(error).__name__}: {redacted(str(error))}")
            logger.warning("tracking failed with an unexpected error", exc_info=error)

    def _send_until_end(self) -> None:
        client: MlflowClient | None = None
        opened: OpenedRun | None = None
        pause_s = FIRST_PAUSE_S
        while True:
            self._wake.clear()
            is_last = self._is_ending.is_set()
            try:
                client = client or self._connected()
                opened = opened or opened_run(client, self._store, self._journal, self._layout)
                self.run_id = opened.run
                send_records(client, opened, self._journal, self._layout)
                self._note_success()
                pause_s = FIRST_PAUSE_S
            except StoreError as error:
                self._note_fault(error.fault)
                if is_last:
                    return
                self._is_ending.wait(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            if is_last:
                return
            self._wake.wait()

    def _connected(self) -> MlflowClient:
        if fault := server_fault(self._layout):
            raise StoreError(fault)  # sooner than by MLflow's client, which repeats a request several times
        try:
            client = self._store.connect()
        except Exception as error:
            show_bug(error)
            raise StoreError(describe(error, self._layout)) from error
        if num := send_left(client, self._store, self._layout):
            logger.info("sent the records of %d earlier stages to MLflow", num)
        return client

    def _note_fault(self, fault: str) -> None:
        if not self.fault:
            logger.warning("MLflow cannot be used; the stage continues and its records wait on this disk: %s", fault)
        self.fault = fault

    def _note_success(self) -> None:
        if self.fault:
            logger.info("MLflow answers again; the waiting records are sent")
        self.fault = ""
