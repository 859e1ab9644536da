"""The frame around every stage: parameters, seed, scratch folder, tracking, metrics file, exit code."""

from __future__ import annotations

import logging
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import atomic, scratch
from pipeline.core.code_digest import Code, record
from pipeline.core.command_line import reported, run_command
from pipeline.core.errors import TemporaryError
from pipeline.core.home import keep_state_out_of_home
from pipeline.core.layout import CODE_ROOT, Layout, find_root
from pipeline.core.locks import LockHeldError, locked_or_refused
from pipeline.core.logs import log_to_stderr, wants_tracebacks
from pipeline.core.parent_watch import ORPHAN_GRACE_S, end_with_dvc
from pipeline.core.resources import limit_threads
from pipeline.core.signals import exit_on_signals
from pipeline.params import Params, load_params
from pipeline.params.clip_roots import require_clips_outside_outputs
from pipeline.params.sharing import require_sharing_allowed
from pipeline.tracking.comparison import complete_comparison
from pipeline.tracking.names import TRAINING_STAGES
from pipeline.tracking.tracker import Tracker, open_tracker

logger = logging.getLogger(__name__)

ORPHAN_S = ORPHAN_GRACE_S + 20.0
"""Longest time in seconds for which a stage runs after its DVC process was killed, also on a busy machine."""


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
        limit_threads()
        layout = Layout(find_root())
        params = load_params(layout.params_path)
        if variant is not None and dvc_stage in (None, stage):
            params.require_variant(variant)
        require_clips_outside_outputs(params, layout)
        require_sharing_allowed(layout.root / "dvc.yaml", params)
        with _alone(layout, label):
            _run_body(dvc_stage or stage, stage, body, variant, params, layout)
        logger.info("%s: done in %.0f s", label, time.monotonic() - started)
        return 0

    return reported(run_once, partial(log_error, label))


def log_error(label: str, error: Exception) -> None:
    """Log the error that ends the stage ``label`` as one line, in the format that ``flows.dvc`` parses."""
    advice = " (trying again may help)" if isinstance(error, TemporaryError) else ""
    logger.error("%s: %s%s", label, error, advice, exc_info=wants_tracebacks())


@contextmanager
def _alone(layout: Layout, label: str) -> Iterator[None]:
    """Lock the stage, so that a second start does not use the same checkpoints and outputs.

    A stage whose DVC process was killed ends within ORPHAN_S, and a new start waits that long for it.
    """
    with ExitStack() as held:
        try:
            held.enter_context(locked_or_refused(layout.stage_lock_path(label), label, ORPHAN_S))
        except LockHeldError as error:
            raise TemporaryError(
                f"{error.holder or 'another process'} is already running this stage; wait until it has finished, "
                "or end it"
            ) from None
        yield


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
        if stage in TRAINING_STAGES:
            tracker.log_model_digest(layout.weights_path(stage, variant))
    if stage == "compare" and tracker.run_id:
        complete_comparison(layout, params, tracker.run_id)
    shutil.rmtree(folder, ignore_errors=True)


def _set_up_process() -> None:
    log_to_stderr("%(asctime)s %(name)s: %(message)s")
    exit_on_signals()
    end_with_dvc()
    keep_state_out_of_home()
