"""The MLflow store: where it is, opening it, and what must be right there before anything is logged.

Without ``MLFLOW_TRACKING_URI`` it is the checkout's own: ``mlflow.db``, with the artifacts below ``mlruns``.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pipeline.core.layout import Layout
from pipeline.core.locks import locked

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",  # seconds; a training waits meanwhile
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # not how it makes its tables
    "GIT_PYTHON_REFRESH": "quiet",
}
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables and columns in which MLflow keeps where files are."""
_LOCK_S = 20.0


def set_mlflow_defaults() -> None:
    """For variables that the environment leaves open. MLflow reads them when it is first imported: call this before."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)


def store_uri(layout: Layout) -> str:
    """``MLFLOW_TRACKING_URI`` where it is set, else the SQLite file at the root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{layout.mlflow_db_path}"


def open_client(layout: Layout) -> MlflowClient:
    """A client on an initialised store; creating a fresh SQLite store is done by one process at a time."""
    set_mlflow_defaults()
    import mlflow

    with _one_at_a_time(layout):
        uri = store_uri(layout)
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(os.environ.get("MLFLOW_REGISTRY_URI") or uri)
        client = mlflow.MlflowClient()
        client.search_experiments(max_results=1)  # runs the migrations of a fresh store
        if _is_own(layout):
            _follow_the_checkout(layout)
        return client


def adopt_artifacts(layout: Layout) -> None:
    """Let the checkout's own store name its artifacts where they are now, if the checkout was moved or copied.

    MLflow's page reads the store as it is; a stage that opens the store does this by itself. Nothing happens to a
    store that is not there, or that belongs to others too.
    """
    if layout.mlflow_db_path.is_file() and _is_own(layout):
        with _one_at_a_time(layout):
            _follow_the_checkout(layout)


def experiment_id(client: MlflowClient, layout: Layout, source: str) -> str:
    """The experiment of a data source: created on first use, restored where it was deleted in MLflow's page."""
    from mlflow.exceptions import MlflowException

    name = f"lipsmith-{source}"
    with _one_at_a_time(layout):
        found = client.get_experiment_by_name(name)
        if found is None:
            location = _artifacts_uri(layout) if _is_local(layout) else None
            try:
                return str(client.create_experiment(name, artifact_location=location))
            except MlflowException:
                found = client.get_experiment_by_name(name)
                if found is None:  # nobody else made it meanwhile
                    raise
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
            logger.warning("MLflow's experiment %s had been deleted: it is restored, with its runs", name)
        return str(found.experiment_id)


@contextmanager
def _one_at_a_time(layout: Layout) -> Iterator[None]:
    """Of this checkout's processes, where several find something missing or misplaced and mend it.

    On a server, which may keep each of them waiting, they need no turns.
    """
    if not _is_local(layout):
        yield
        return
    with locked(layout.scratch_dir / "mlflow.lock", "opening MLflow's store"):
        yield


def _artifacts_uri(layout: Layout) -> str:
    return (layout.root.resolve() / "mlruns").as_uri()


def _is_local(layout: Layout) -> bool:
    return store_uri(layout).startswith("sqlite")


def _is_own(layout: Layout) -> bool:
    """Whether the store is this checkout's alone: a file in it, not one that a link or the environment shares."""
    scheme, _, path = store_uri(layout).partition(":///")
    return scheme == "sqlite" and Path(path.partition("?")[0]).resolve() == layout.root.resolve() / "mlflow.db"


def _follow_the_checkout(layout: Layout) -> None:
    """Where the checkout was moved or copied, let every address below its old ``mlruns`` point below the present one.

    MLflow keeps absolute addresses: it completes a relative one when it stores it, it takes ``mlflow-artifacts:`` only
    where every client goes through a server, and no function of its API changes one. An old ``mlruns`` is one whose
    folder is gone, or has an ``mlflow.db``, of which this one is a copy; of experiments elsewhere nothing is touched.
    """
    here = _artifacts_uri(layout)
    with closing(sqlite3.connect(layout.mlflow_db_path, timeout=_LOCK_S)) as store, store:
        if not store.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchall():
            return  # its first process ended before it had made the tables
        named_alike = "SELECT DISTINCT artifact_location FROM experiments WHERE artifact_location LIKE 'file:%/mlruns'"
        for (there,) in store.execute(named_alike).fetchall():
            folder = Path(url2pathname(urlsplit(there).path)).parent
            if there == here or (folder.exists() and not (folder / "mlflow.db").exists()):
                continue
            for table, column in _ADDRESSES:
                store.execute(
                    f"UPDATE {table} SET {column} = :here || substr({column}, length(:there) + 1) "
                    f"WHERE {column} = :there OR substr({column}, 1, length(:there) + 1) = :there || '/'",
                    {"here": here, "there": there},
                )
            logger.warning(
                "the checkout was moved or copied: MLflow's files are now those below %s, not %s", here, there
            )
