"""The frame around every stage: parameters, seed, scratch folder, tracking, metrics file, exit code."""

from __future__ import annotations

import logging
import random
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import atomic, scratch
from pipeline.core.code_digest import Code, record
from pipeline.core.command_line import reported, run_command
from pipeline.core.errors import TemporaryError
from pipeline.core.layout import CODE_ROOT, Layout, find_root
from pipeline.core.logs import log_to_stderr, wants_tracebacks
from pipeline.core.signals import exit_on_signals
from pipeline.params import Params, load_params
from pipeline.params.sharing import require_sharing_allowed
from pipeline.tracking.tracker import Tracker, open_tracker

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageContext:
    """The argument of a stage's body.

    ``fingerprint``: 16 hex digits that identify the computation. ``scratch``: folder for unfinished work.
    """

    name: str
    variant: str | None
    params: Params
    layout: Layout
    tracker: Tracker
    fingerprint: str
    scratch: Path

    @property
    def output_dir(self) -> Path:
        return self.layout.stage_dir(self.name, self.variant)


Body = Callable[[StageContext], Mapping[str, Any]]


def stage_command_line(stage: str, command: Callable[..., int], argv: Sequence[str] | None) -> int:
    """A stage's ``main``: parse ``argv`` (None: ``sys.argv``), call ``command`` and return the exit code.

    ``command`` calls ``run``. ``--help`` and usage errors return without calling it. Stage modules import the packages
    for computation inside functions, so that both return quickly.
    """
    return run_command(command, argv, f"python -m pipeline.stages.{stage}")


def run(stage: str, body: Body, variant: str | None = None, *, dvc_stage: str | None = None) -> int:
    """Run a stage's body, write its result to the stage's ``metrics.json`` and return the exit code.

    ``dvc_stage`` is the stage's name in ``dvc.yaml`` if it differs from ``stage``. A LipsmithError or an error of the
    operating system is logged as one line and becomes its exit code. Any other exception is a bug and is raised.
    """
    _set_up_process()
    label = f"{stage}@{variant}" if variant else stage

    def run_once() -> int:
        started = time.monotonic()
        layout = Layout(find_root())
        params = load_params(layout.params_path)
        if variant is not None and dvc_stage in (None, stage):
            params.require_variant(variant)
        require_sharing_allowed(layout.root / "dvc.yaml", params)
        _run_body(dvc_stage or stage, stage, body, variant, params, layout)
        logger.info("%s: done in %.0f s", label, time.monotonic() - started)
        return 0

    return reported(run_once, partial(log_error, label))


def log_error(label: str, error: Exception) -> None:
    """Log the error that ends the stage ``label`` as one line, in the format that ``flows.dvc`` parses."""
    advice = " (trying again may help)" if isinstance(error, TemporaryError) else ""
    logger.error("%s: %s%s", label, error, advice, exc_info=wants_tracebacks())


def _run_body(dvc_stage: str, stage: str, body: Body, variant: str | None, params: Params, layout: Layout) -> None:
    random.seed(params.seed)
    np.random.seed(params.seed)
    record(layout.code_path(stage), Code(CODE_ROOT), stage)  # the code may have changed since the stage `code` ran
    plain = params.model_dump(mode="json")
    digest = scratch.fingerprint(layout.root, dvc_stage, variant, plain)
    name = f"{stage}-{variant}" if variant else stage
    folder = scratch.open_scratch(layout.scratch_dir, name, digest)
    _, keys = scratch.declared(layout.root, dvc_stage, variant)
    with open_tracker(layout, stage, variant, params, digest, scratch.select(plain, keys)) as tracker:
        context = StageContext(stage, variant, params, layout, tracker, digest, folder)
        metrics = body(context)
        atomic.write_json(layout.metrics_path(stage, variant), metrics)
        tracker.log_summary(stage, metrics)
    shutil.rmtree(folder, ignore_errors=True)


def _set_up_process() -> None:
    log_to_stderr("%(asctime)s %(name)s: %(message)s")
    exit_on_signals()
