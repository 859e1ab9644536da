"""A stand-in for MLflow's client that writes to a journal, and the function that repeats its calls on a real client.

The calls return at once and cannot fail because of the store. `Tracker` uses the stand-in as if it were the client.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pipeline.tracking.batches import METRICS_A_REQUEST, send_metrics, send_params
from pipeline.tracking.journal import Journal
from pipeline.tracking.runs import status_of_children

if TYPE_CHECKING:
    from mlflow import MlflowClient


class RecordingClient:
    """The methods of ``MlflowClient`` that `Tracker` calls for its run. ``on_record`` is called after each record."""

    def __init__(self, journal: Journal, on_record: Callable[[], object] = lambda: None) -> None:
        self._journal = journal
        self._on_record = on_record

    def get_run(self, run: str) -> Any:
        """A run without parameters: the real ones are compared when the records are sent."""
        return SimpleNamespace(data=SimpleNamespace(params={}, tags={}))

    def log_batch(
        self, run: str, metrics: Iterable[Any] = (), params: Iterable[Any] = (), tags: Iterable[Any] = ()
    ) -> None:
        record = {
            "metrics": [[m.key, m.value, m.timestamp, m.step] for m in metrics],
            "params": {p.key: p.value for p in params},
            "tags": {t.key: t.value for t in tags},
        }
        if any(record.values()):
            self._append("batch", record)

    def log_artifact(self, run: str, local_path: str, artifact_path: str | None = None) -> None:
        path = Path(local_path)
        self._append("file", {"name": path.name, "kept": self._journal.keep(path), "folder": artifact_path})

    def log_artifacts(self, run: str, local_dir: str, artifact_path: str | None = None) -> None:
        path = Path(local_dir)
        self._append("folder", {"name": path.name, "kept": self._journal.keep(path), "folder": artifact_path})

    def log_dict(self, run: str, content: Mapping[str, Any], path: str) -> None:
        self._append("json", {"name": path, "content": dict(content)})

    def log_inputs(self, run: str, datasets: Iterable[Any]) -> None:
        from google.protobuf.json_format import MessageToDict

        self._append("inputs", {"datasets": [MessageToDict(dataset.to_proto()) for dataset in datasets]})

    def set_terminated(self, run: str, status: str) -> None:
        self._append("status", {"status": status, "end_ms": int(time.time() * 1000)})

    def _append(self, kind: str, content: Mapping[str, Any]) -> None:
        self._journal.append({"kind": kind, **content})
        self._on_record()


def name_of(record: Mapping[str, Any]) -> str:
    """What a record holds, for messages."""
    if record["kind"] == "batch":
        return "settings" if record["params"] else "metrics" if record["metrics"] else "tags"
    return str(record.get("name", record["kind"]))


def joined(records: Iterable[tuple[dict[str, Any], int]]) -> Iterator[tuple[dict[str, Any], int]]:
    """The records. Merges consecutive metric records into requests of at most ``METRICS_A_REQUEST`` values.

    A backlog of metrics has one record for each step.
    """
    waiting: tuple[dict[str, Any], int] | None = None
    for record, end in records:
        is_metrics = record["kind"] == "batch" and not record["params"] and not record["tags"]
        if waiting and is_metrics and len(waiting[0]["metrics"]) + len(record["metrics"]) <= METRICS_A_REQUEST:
            waiting = {**record, "metrics": waiting[0]["metrics"] + record["metrics"]}, end
            continue
        if waiting:
            yield waiting
        waiting = (record, end) if is_metrics else None
        if not is_metrics:
            yield record, end
    if waiting:
        yield waiting


def send_record(client: MlflowClient, run: str, parent: str | None, folder: Path, record: Mapping[str, Any]) -> None:
    """Repeat a recorded call on the store's client. ``folder``: the journal's.

    After a status, ``parent`` gets the status of all its children.

    A second call with the same record changes nothing in the store.
    """
    kind = record["kind"]
    if kind == "batch":
        _send_batch(client, run, record)
    elif kind == "file":
        client.log_artifact(run, str(folder / record["kept"]), record["folder"])
    elif kind == "folder":
        client.log_artifacts(run, str(folder / record["kept"]), record["folder"])
    elif kind == "json":
        client.log_dict(run, record["content"], record["name"])
    elif kind == "inputs":
        _send_inputs(client, run, record["datasets"])
    elif kind == "status":
        client.set_terminated(run, record["status"], record["end_ms"])
        if parent and (status := status_of_children(client, parent)):
            client.set_terminated(parent, status, record["end_ms"])
    else:
        raise ValueError(f"a journal has a record of unknown kind {kind!r}")


def _send_batch(client: MlflowClient, run: str, record: Mapping[str, Any]) -> None:
    from mlflow.entities import RunTag

    send_params(client, run, record["params"])
    send_metrics(client, run, [(key, value, time_ms, step) for key, value, time_ms, step in record["metrics"]])
    if record["tags"]:
        client.log_batch(run, tags=[RunTag(name, value) for name, value in record["tags"].items()])


def _send_inputs(client: MlflowClient, run: str, datasets: Iterable[Mapping[str, Any]]) -> None:
    from google.protobuf.json_format import ParseDict
    from mlflow.entities import DatasetInput
    from mlflow.protos.service_pb2 import DatasetInput as Message

    client.log_inputs(run, datasets=[DatasetInput.from_proto(ParseDict(d, Message())) for d in datasets])
