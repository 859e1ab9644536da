"""The MLflow store: its address, its client, its experiments.

Without ``MLFLOW_TRACKING_URI`` it is the checkout's own store: ``mlflow.db``, with the artifacts below ``mlruns``.
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

from pipeline.core.errors import LipsmithError, first_line
from pipeline.core.layout import Layout
from pipeline.core.locks import locked
from pipeline.core.proxies import bypass_proxies_for_loopback
from pipeline.core.redact import redacted
from pipeline.tracking.probe import SCHEMA_REMEDY, is_about_schema

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",  # seconds; the end of a stage may wait that long
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # hides the messages about database migrations
    "GIT_PYTHON_REFRESH": "quiet",
}
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables and columns in which MLflow stores the addresses of artifacts."""
_LOCK_S = 20.0


def set_mlflow_defaults() -> None:
    """Set MLflow's variables that the environment does not set. Call this before the first import of MLflow."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    bypass_proxies_for_loopback()


def store_uri(layout: Layout) -> str:
    """``MLFLOW_TRACKING_URI`` if it is set, else the URI of the SQLite file in the checkout."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{layout.mlflow_db_path}"


def open_client(layout: Layout) -> MlflowClient:
    """A client of the initialised store. One process at a time creates a new SQLite store."""
    set_mlflow_defaults()
    import mlflow

    with _one_at_a_time(layout):
        uri = store_uri(layout)
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(os.environ.get("MLFLOW_REGISTRY_URI") or uri)
        client = mlflow.MlflowClient()
        client.search_experiments(max_results=1)  # runs the migrations of a new store
        if _is_own(layout):
            _update_addresses(layout)
        return client


@contextmanager
def naming_the_store(layout: Layout, kind: type[LipsmithError]) -> Iterator[None]:
    """Raise an error of MLflow or of its database within the block as one of ``kind`` that names the store.

    The error of a database of another version of MLflow has the remedy.
    """
    set_mlflow_defaults()
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, CommandError, sqlite3.Error) as error:
        uri, cause = redacted(store_uri(layout)), redacted(first_line(error))
        if is_about_schema(str(error)):
            cause = f"the database has the schema of another version; {SCHEMA_REMEDY.replace('ADDRESS', uri)}"
        raise kind(f"MLflow at {uri}: {cause}") from error


def update_artifact_addresses(layout: Layout) -> None:
    """Update the artifact addresses in the checkout's own store if the checkout was moved or copied.

    The MLflow UI needs this, since it reads the addresses unchanged; `open_client` does it by itself. A missing store
    and a store that other checkouts share are left unchanged.
    """
    if layout.mlflow_db_path.is_file() and _is_own(layout):
        with _one_at_a_time(layout):
            _update_addresses(layout)


def experiment_name(source: str) -> str:
    """Name of the experiment with the runs of a data source."""
    return f"lipsmith-{source}"


def experiment_id(client: MlflowClient, layout: Layout, source: str) -> str:
    """Id of a data source's experiment. It is created on first use, and restored if it was deleted in the MLflow UI."""
    from mlflow.exceptions import MlflowException

    name = experiment_name(source)
    with _one_at_a_time(layout):
        found = client.get_experiment_by_name(name)
        if found is None:
            location = _artifacts_uri(layout) if _is_local(layout) else None
            try:
                return str(client.create_experiment(name, artifact_location=location))
            except MlflowException:
                found = client.get_experiment_by_name(name)
                if found is None:  # no other process has created it meanwhile
                    raise
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
            logger.warning("the MLflow experiment %s was deleted; it is restored with its runs", name)
        return str(found.experiment_id)


@contextmanager
def _one_at_a_time(layout: Layout) -> Iterator[None]:
    """Lock a local store, so that processes of this checkout create and repair it one after another.

    A server needs no lock, and a slow one would make the processes wait for each other.
    """
    if not _is_local(layout):
        yield
        return
    with locked(Layout(layout.home).scratch_dir / "mlflow.lock", "opening MLflow's store"):
        yield


def _artifacts_uri(layout: Layout) -> str:
    return (layout.home.resolve() / "mlruns").as_uri()


def _is_local(layout: Layout) -> bool:
    return store_uri(layout).startswith("sqlite")


def _is_own(layout: Layout) -> bool:
    """Whether the store belongs to this checkout alone: a file in it that no link or variable shares with others."""
    scheme, _, path = store_uri(layout).partition(":///")
    return scheme == "sqlite" and Path(path.partition("?")[0]).resolve() == layout.home.resolve() / "mlflow.db"


def _update_addresses(layout: Layout) -> None:
    """If the checkout was moved or copied, replace its old ``mlruns`` by the current one in all artifact addresses.

    MLflow stores absolute addresses: it makes relative ones absolute, ``mlflow-artifacts:`` requires a server for every
    client, and its API cannot change an address. An ``mlruns`` counts as old if its parent folder is missing (the
    checkout was moved) or has an ``mlflow.db`` (the checkout was copied). Experiments at other addresses are unchanged.
    """
    here = _artifacts_uri(layout)
    with closing(sqlite3.connect(layout.mlflow_db_path, timeout=_LOCK_S)) as store, store:
        if not store.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchall():
            return  # the process that created the file ended before it created the tables
        locations = "SELECT DISTINCT artifact_location FROM experiments WHERE artifact_location LIKE 'file:%/mlruns'"
        for (there,) in store.execute(locations).fetchall():
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
                "the checkout was moved or copied: MLflow now uses the artifacts in %s instead of %s",
                url2pathname(urlsplit(here).path),
                folder / "mlruns",
            )
