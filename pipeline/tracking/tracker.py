"""MLflow runs of the stages: parameters, curves, metrics and artifacts.

Tracking errors never fail a stage: an unreachable store causes a warning.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.layout import Layout
from pipeline.core.redact import redacted
from pipeline.params import Params
from pipeline.tracking.datasets import Dataset, split_datasets
from pipeline.tracking.names import TRAINING_STAGES, curve_metric, flatten, run_params, stage_metrics
from pipeline.tracking.runs import RunIdentity, identity_of, open_run
from pipeline.tracking.store import experiment_id, open_client
from pipeline.tracking.system_metrics import watch_system

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

_BATCH = 500
_MAX_PARAM = 500
_MAX_NOTE = 8000
"""Longest parameter and description that MLflow stores, in characters."""
_PAUSE_S = 300.0
"""Shortest time between two attempts to reach a store that does not answer. Each may take MLflow's full timeout."""


class Tracker:
    """One MLflow run. Without a client it records nothing. Errors of the store are logged and never raised.

    While the store does not answer, records wait in memory. They are sent when it answers again, at the latest in
    ``finish``. Records that an answering store rejects are lost. A warning names every lost record.
    """

    def __init__(self, client: MlflowClient | None, run_id: str | None, parent_id: str | None = None) -> None:
        self._client = client
        self.run_id = run_id
        self._parent_id = parent_id
        self._lock = threading.RLock()  # system metrics come from a thread
        self._waiting: deque[tuple[str, Callable[[MlflowClient, str], Any]]] = deque()
        self._is_away = False
        self._retry_at_s = 0.0

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters. Nested names are joined with dots; values are cut to 500 characters.

        MLflow cannot change a parameter of a run. If a value differs from an earlier stage's, as in an evaluation that
        is repeated with other settings, the tag ``param.NAME`` holds the newest value.
        """
        flat = {name: _text_of(value)[:_MAX_PARAM] for name, value in flatten(params)}

        def send(client: MlflowClient, run: str) -> None:
            from mlflow.entities import Param, RunTag

            known = client.get_run(run).data.params
            new = [Param(name, value) for name, value in flat.items() if name not in known]
            for start in range(0, len(new), 100):
                client.log_batch(run, params=new[start : start + 100])
            changed = [RunTag(f"param.{n}", v) for n, v in flat.items() if known.get(n, v) != v]
            client.log_batch(run, tags=changed)

        self.send("settings", send)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log scalars at one step, under their names."""
        self._log_points([(step, metrics)])

    def log_curve(self, rows: Iterable[tuple[int, Mapping[str, float]]]) -> bool:
        """Log rows of a training curve: step and scalars. Returns whether nothing is waiting any more.

        ``l1`` becomes the metric ``train/l1``, and ``val_l1`` becomes ``val/l1``.
        """
        self._log_points((step, {curve_metric(name): value for name, value in row.items()}) for step, row in rows)
        return self.run_id is not None and not self._waiting

    def _log_points(self, rows: Iterable[tuple[int, Mapping[str, float]]]) -> None:
        """Log scalars at several steps in one request. Values that are not finite are left out."""
        now = int(time.time() * 1000)
        points = [
            (name, float(value), now, step)
            for step, metrics in rows
            for name, value in metrics.items()
            if math.isfinite(value)
        ]

        def send(client: MlflowClient, run: str) -> None:
            from mlflow.entities import Metric

            for start in range(0, len(points), _BATCH):
                client.log_batch(run, metrics=[Metric(*point) for point in points[start : start + _BATCH]])

        if points:
            self.send("metrics", send)

    def log_summary(self, stage: str, metrics: Mapping[str, Any]) -> None:
        """Log the main numbers of a stage's ``metrics.json``, and the whole as the artifact ``metrics/STAGE.json``.

        Metrics of an evaluator that cannot judge the clips are left out of the numbers.
        """
        self.log_metrics(stage_metrics(stage, metrics))
        content = dict(metrics)
        self.send(f"metrics/{stage}.json", lambda client, run: client.log_dict(run, content, f"metrics/{stage}.json"))

    def log_datasets(self, datasets: Iterable[Dataset]) -> None:
        """Log the clips that the run uses. The same dataset may be logged again."""
        used = list(datasets)

        def send(client: MlflowClient, run: str) -> None:
            client.log_inputs(run, datasets=[dataset.as_input() for dataset in used])

        if used:
            self.send("datasets", send)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        entities = [RunTag(name, value) for name, value in tags.items()]
        self.send("tags", lambda client, run: client.log_batch(run, tags=entities))

    def describe(self, text: str) -> None:
        """Set the description of the run, which its page shows. ``text``: Markdown."""
        self.set_tags({"mlflow.note.content": text[:_MAX_NOTE]})

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Log a file, or every file of a folder. ``folder``: target folder among the run's artifacts."""
        if path.is_dir():
            self.send(path.name, lambda client, run: client.log_artifacts(run, str(path), folder))
        else:
            self.send(path.name, lambda client, run: client.log_artifact(run, str(path), folder))

    def finish(self, status: str) -> None:
        """Set the status of the run, ``FINISHED`` or ``FAILED``, and try to send all waiting records.

        The parent has the status of the child that finished last.
        """
        self._retry_at_s = 0.0
        parent = self._parent_id

        def send(client: MlflowClient, run: str) -> None:
            client.set_terminated(run, status)
            if parent:
                client.set_terminated(parent, status)

        self.send(f"status {status}", send)
        if self._waiting:
            lost = ", ".join(dict.fromkeys(what for what, _ in self._waiting))
            logger.warning("MLflow did not answer before the stage ended: run %s lacks %s", self.run_id, lost)

    def send(self, what: str, action: Callable[[MlflowClient, str], Any]) -> None:
        """Call ``action`` with the client and the run's id, now or when the store answers again.

        ``what`` names the record in warnings.
        """
        if self._client is None or self.run_id is None:
            return
        with self._lock:
            self._waiting.append((what, action))
            if time.monotonic() >= self._retry_at_s:
                self._send_waiting(self._client, self.run_id)

    def _send_waiting(self, client: MlflowClient, run: str) -> None:
        if self._is_away:
            if not self._answers(client, run):
                self._retry_at_s = time.monotonic() + _PAUSE_S
                return
            self._is_away = False
            logger.info("MLflow answers again: sending the waiting records")
        while self._waiting:
            what, action = self._waiting[0]
            try:
                action(client, run)
            except Exception as error:  # no error of the store may end the stage
                cause = redacted(str(error))
                _show_bug(error)
                if not self._answers(client, run):
                    self._is_away = True
                    self._retry_at_s = time.monotonic() + _PAUSE_S
                    logger.warning(
                        "MLflow does not answer; the stage continues and tries again in %.0f min at the earliest: %s",
                        _PAUSE_S / 60,
                        cause,
                    )
                    return
                logger.warning("MLflow rejected %s; the stage continues without it: %s", what, cause)
            self._waiting.popleft()

    @staticmethod
    def _answers(client: MlflowClient, run: str) -> bool:
        try:
            client.get_run(run)
        except Exception:  # see `_send_waiting`
            return False
        return True


@contextmanager
def open_tracker(
    layout: Layout,
    stage: str,
    variant: str | None,
    params: Params,
    fingerprint: str,
    stage_params: Mapping[str, Any],
) -> Iterator[Tracker]:
    """Yield the tracker of a stage's run.

    Training and evaluation of a model share a run. A resumed stage reopens its run. ``stage_params``: the parameters
    that ``dvc.yaml`` lists for the stage. An exception in the block sets the status ``FAILED`` and is raised.
    """
    tracker = start_tracker(layout, identity_of(layout, stage, variant, params, fingerprint), params)
    tracker.log_params(run_params(stage, variant, params, stage_params))
    if variant or stage in TRAINING_STAGES:
        tracker.log_datasets(split_datasets(layout, params, stage))
    try:
        with watch_system(tracker.log_metrics, enabled=tracker.run_id is not None):
            yield tracker
    except BaseException:
        tracker.finish("FAILED")
        raise
    tracker.finish("FINISHED")


def start_tracker(layout: Layout, identity: RunIdentity, params: Params) -> Tracker:
    """The tracker of the run with this identity. It records nothing if the store cannot be used, with a warning."""
    try:
        client = open_client(layout)
        experiment = experiment_id(client, layout, params.dataset.source)
        return Tracker(client, *open_run(client, experiment, identity, layout))
    except Exception as error:  # no error of the store may end the stage
        _show_bug(error)
        logger.warning("MLflow cannot be used; this run is not tracked: %s", redacted(str(error)))
        return Tracker(None, None)


def _show_bug(error: Exception) -> None:
    """Log the traceback of an error that may be a bug of this module."""
    if isinstance(error, TypeError | LookupError | AttributeError | NameError | AssertionError):
        logger.warning("tracking failed with an unexpected error", exc_info=error)


def _text_of(value: Any) -> str:
    """A parameter as it is written in ``params.yaml``."""
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
