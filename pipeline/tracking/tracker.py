"""MLflow runs of the stages: parameters, curves, metrics and artifacts.

Tracking errors never fail a stage, and a stage never waits for the store: see ``pipeline.tracking.delivery``.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.digest import sha256_of
from pipeline.core.layout import Layout
from pipeline.core.redact import redacted
from pipeline.params import Params
from pipeline.tracking.batches import send_metrics, send_params
from pipeline.tracking.datasets import Dataset, split_datasets
from pipeline.tracking.delivery import UNSENT_RUN, journaled
from pipeline.tracking.names import TRAINING_STAGES, curve_metric, flatten, run_params, stage_metrics
from pipeline.tracking.runs import MODEL_TAG, identity_from, identity_of, open_run
from pipeline.tracking.sender import OpenedRun
from pipeline.tracking.store import experiment_id
from pipeline.tracking.store_faults import show_bug
from pipeline.tracking.system_metrics import watch_system

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

_MAX_PARAM = 500
"""Longest parameter that MLflow stores, in characters."""


class Tracker:
    """One MLflow run. Without a client it records nothing. Errors are logged and never raised.

    ``client``: MLflow's, or in a stage a `RecordingClient`, which never waits.
    """

    def __init__(self, client: MlflowClient | None, run_id: str | None) -> None:
        self._client = client
        self.run_id = run_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters. Nested names are joined with dots; values are cut to 500 characters.

        If a value differs from an earlier stage's, the tag ``param.NAME`` holds the newest value.
        """
        flat = {name: _text_of(value)[:_MAX_PARAM] for name, value in flatten(params)}

        self._send("settings", lambda client, run: send_params(client, run, flat))

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log scalars at one step, under their names."""
        self._log_points([(step, metrics)])

    def log_curve(self, rows: Iterable[tuple[int, Mapping[str, float]]]) -> bool:
        """Log rows of a training curve: step and scalars. Returns whether they are recorded; False on a full disk.

        ``l1`` becomes the metric ``train/l1``, and ``val_l1`` becomes ``val/l1``.
        """
        return self._log_points((step, {curve_metric(name): v for name, v in row.items()}) for step, row in rows)

    def _log_points(self, rows: Iterable[tuple[int, Mapping[str, float]]]) -> bool:
        """Log scalars at several steps in one request. Values that are not finite are left out."""
        now = int(time.time() * 1000)
        points = [
            (name, float(value), now, step)
            for step, metrics in rows
            for name, value in metrics.items()
            if math.isfinite(value)
        ]

        return self._send("metrics", lambda client, run: send_metrics(client, run, points))

    def log_summary(self, stage: str, metrics: Mapping[str, Any]) -> None:
        """Log the main numbers of a stage's ``metrics.json``, and the whole as the artifact ``metrics/STAGE.json``.

        Metrics of an evaluator that cannot judge the clips are left out of the numbers.
        """
        self.log_metrics(stage_metrics(stage, metrics))
        content = dict(metrics)
        self._send(f"metrics/{stage}.json", lambda client, run: client.log_dict(run, content, f"metrics/{stage}.json"))

    def log_model_digest(self, weights: Path) -> None:
        """Tag the run as the one that trained the model with these weights: a file, which may be missing."""
        if not weights.is_file():
            return
        digest = sha256_of(weights)

        def send(client: MlflowClient, run: str) -> None:
            from mlflow.entities import RunTag

            client.log_batch(run, tags=[RunTag(MODEL_TAG, digest)])

        self._send("the digest of the model", send)

    def log_datasets(self, datasets: Iterable[Dataset]) -> None:
        """Log the clips that the run uses. The same dataset may be logged again."""
        used = list(datasets)

        def send(client: MlflowClient, run: str) -> None:
            client.log_inputs(run, datasets=[dataset.as_input() for dataset in used])

        if used:
            self._send("datasets", send)

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Log a file, or every file of a folder. ``folder``: target folder among the run's artifacts."""
        if path.is_dir():
            self._send(path.name, lambda client, run: client.log_artifacts(run, str(path), folder))
        else:
            self._send(path.name, lambda client, run: client.log_artifact(run, str(path), folder))

    def finish(self, status: str) -> None:
        """Set the status of the run, ``FINISHED`` or ``FAILED``. In a stage its parent gets that of its children."""
        self._send(f"status {status}", lambda client, run: client.set_terminated(run, status))

    def _send(self, what: str, action: Callable[[MlflowClient, str], Any]) -> bool:
        """Whether ``action`` recorded ``what``. A failure is a warning."""
        if self._client is None or self.run_id is None:
            return False
        try:
            action(self._client, self.run_id)
        except Exception as error:  # no error of tracking may end the stage
            show_bug(error)
            logger.warning("%s cannot be tracked; the stage continues without it: %s", what, redacted(str(error)))
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

    Records go to a journal on this disk, and a thread sends them: the block never waits for the store. Afterwards
    ``run_id`` is the id in the store, or None if records are still waiting. Training and evaluation of a model share a
    run. A resumed stage reopens its run. ``stage_params``: the parameters that ``dvc.yaml`` lists for the stage. An
    exception in the block sets the status ``FAILED`` and is raised.
    """
    describe = partial(describe_run, layout, stage, variant, params, fingerprint)
    with journaled(layout, describe, open_described_run) as (client, delivery):
        tracker = Tracker(client, None if client is None else UNSENT_RUN)
        tracker.log_params(run_params(stage, variant, params, stage_params))
        if variant or stage in TRAINING_STAGES:
            tracker.log_datasets(split_datasets(layout, params, stage))
        try:
            with watch_system(tracker.log_metrics, enabled=client is not None):
                yield tracker
        except BaseException:
            tracker.finish("FAILED")
            tracker.run_id = delivery.finish(is_short=True)
            raise
        tracker.finish("FINISHED")
        tracker.run_id = delivery.finish()


def describe_run(layout: Layout, stage: str, variant: str | None, params: Params, fingerprint: str) -> dict[str, Any]:
    """What a journal keeps of a run, as JSON: enough to find it again or to create it, with its parent."""
    identity = identity_of(layout, stage, variant, params, fingerprint)
    return {"source": params.dataset.source, "start_ms": int(time.time() * 1000), **asdict(identity)}


def open_described_run(client: MlflowClient, layout: Layout, run: Mapping[str, Any]) -> OpenedRun:
    """Find the run of `describe_run` in the store and set it to RUNNING, or create it; its parent likewise."""
    experiment = experiment_id(client, layout, run["source"])
    return OpenedRun(*open_run(client, experiment, identity_from(run), layout, run["start_ms"]))


def _text_of(value: Any) -> str:
    """A parameter as it is written in ``params.yaml``."""
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
