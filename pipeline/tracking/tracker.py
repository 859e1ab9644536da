"""MLflow runs of the stages: parameters, curves, metrics and artifacts.

Tracking errors never fail a stage, and a stage never waits for the store: see ``pipeline.tracking.delivery``.
"""

from __future__ import annotations

import hashlib
import logging
import math
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.artifacts import read_json
from pipeline.core.layout import Layout
from pipeline.core.redact import redacted
from pipeline.metrics import without_evaluator
from pipeline.params import Params
from pipeline.tracking.delivery import UNSENT_RUN, journaled
from pipeline.tracking.sender import OpenedRun, show_bug
from pipeline.tracking.store import experiment_id

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

_BATCH = 500


class Tracker:
    """One MLflow run. Without a client it records nothing. Errors are logged and never raised.

    ``client``: MLflow's, or in a stage a `RecordingClient`, which never waits.
    """

    def __init__(self, client: MlflowClient | None, run_id: str | None) -> None:
        self._client = client
        self.run_id = run_id

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters. Nested names are joined with dots; values are cut to 500 characters.

        MLflow cannot change a parameter of a run. If a value differs from an earlier stage's, as in an evaluation that
        is repeated with other settings, the tag ``param.NAME`` holds the newest value.
        """
        flat = {name: str(value)[:500] for name, value in _flatten(params)}

        def send(client: MlflowClient, run: str) -> None:
            from mlflow.entities import Param, RunTag

            known = client.get_run(run).data.params
            new = [Param(name, value) for name, value in flat.items() if name not in known]
            for start in range(0, len(new), 100):
                client.log_batch(run, params=new[start : start + 100])
            changed = [RunTag(f"param.{n}", v) for n, v in flat.items() if known.get(n, v) != v]
            client.log_batch(run, tags=changed)

        self._send("settings", send)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log scalars at one step."""
        self.log_curve([(step, metrics)])

    def log_curve(self, rows: Iterable[tuple[int, Mapping[str, float]]]) -> bool:
        """Log scalars at several steps in one request. Returns whether they are recorded.

        Values that are not finite are left out.
        """
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
            self._send("metrics", send)
        return self.run_id is not None

    def log_summary(self, stage: str, metrics: Mapping[str, Any]) -> None:
        """Log the numbers of a stage's ``metrics.json``.

        Metrics of an evaluator that cannot judge the clips are left out. Names of an evaluation are unchanged. Other
        stages prefix their names (``train_gan.seconds``), so that a training's numbers do not extend its curves or
        collide with the evaluation's numbers in the run that both share.
        """
        prefix = "" if stage == "evaluate" else f"{stage}."
        if metrics.get("fitness", {}).get("is_fit") is False:
            metrics = without_evaluator(metrics)
        numbers = {
            prefix + name: float(value)
            for name, value in _flatten(metrics)
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        self.log_metrics(numbers)

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Log a file, or every file of a folder. ``folder``: target folder among the run's artifacts."""
        if path.is_dir():
            self._send(path.name, lambda client, run: client.log_artifacts(run, str(path), folder))
        else:
            self._send(path.name, lambda client, run: client.log_artifact(run, str(path), folder))

    def finish(self, status: str) -> None:
        """Set the run's status, ``FINISHED`` or ``FAILED``."""
        self._send(f"status {status}", lambda client, run: client.set_terminated(run, status))

    def _send(self, what: str, action: Callable[[MlflowClient, str], Any]) -> None:
        if self._client is None or self.run_id is None:
            return
        try:
            action(self._client, self.run_id)
        except Exception as error:  # no error of tracking may end the stage
            show_bug(error)
            logger.warning("%s cannot be tracked; the stage continues without it: %s", what, redacted(str(error)))


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
    run. A resumed stage reopens its run. ``stage_params``: parameters to log. An exception in the block sets the status
    ``FAILED`` and is raised.
    """
    describe = partial(describe_run, layout, stage, variant, params, fingerprint)
    with journaled(layout, describe, open_described_run) as (client, delivery):
        tracker = Tracker(client, None if client is None else UNSENT_RUN)
        tracker.log_params(stage_params)
        try:
            yield tracker
        except BaseException:
            tracker.finish("FAILED")
            tracker.run_id = delivery.finish(is_short=True)
            raise
        tracker.finish("FINISHED")
        tracker.run_id = delivery.finish()


def describe_run(layout: Layout, stage: str, variant: str | None, params: Params, fingerprint: str) -> dict[str, Any]:
    """What a journal keeps of a run, as JSON: enough to find it again or to create it."""
    return {
        "source": params.dataset.source,
        "name": variant or stage,
        "key": run_key(layout, stage, variant, fingerprint),
        "tags": _tags(layout, stage, variant, params),
        "start_ms": int(time.time() * 1000),
    }


def open_described_run(client: MlflowClient, layout: Layout, run: Mapping[str, Any]) -> OpenedRun:
    """Find the run of `describe_run` in the store and set it to RUNNING, or create it."""
    experiment = experiment_id(client, layout, run["source"])
    found = client.search_runs([experiment], f"tags.`lipsmith.run_key` = '{run['key']}'", max_results=1)
    if found:
        run_id = str(found[0].info.run_id)
        client.update_run(run_id, status="RUNNING")
        return OpenedRun(run_id, None)
    tags = {**run["tags"], "lipsmith.run_key": run["key"]}
    created = client.create_run(experiment, start_time=run["start_ms"], tags=tags, run_name=run["name"])
    return OpenedRun(str(created.info.run_id), None)


def run_key(layout: Layout, stage: str, variant: str | None, fingerprint: str) -> str:
    """Key of a run: the stage's computation, or for an evaluation the training of the model that it scores."""
    if stage == "evaluate" and variant:
        model = layout.model_dir("train_gan", variant) / "model.json"
        if model.is_file():
            trained = read_json(model)["info"].get("fingerprint")
            if trained:
                return f"train_gan:{variant}:{trained}"
    return f"{stage}:{variant or ''}:{fingerprint}"


def _tags(layout: Layout, stage: str, variant: str | None, params: Params) -> dict[str, str]:
    own_seed = params.variants[variant].seed if variant in params.variants else None
    tags = {
        "variant": variant or stage,
        "stage": stage,
        "profile": params.profile,
        "seed": str(params.seed if own_seed is None else own_seed),
        "host": platform.node(),
        "device": params.runtime.device,
        "git_commit": _git(layout.root, "rev-parse", "HEAD"),
        "git_dirty": str(bool(_git(layout.root, "status", "--porcelain"))).lower(),
        "dvc_lock_sha256": _sha256(layout.root / "dvc.lock"),
        "data_sha256": _sha256(layout.clips_dir / "index.parquet"),
    }
    return {name: value for name, value in tags.items() if value}


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
