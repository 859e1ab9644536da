"""Runs single jobs in one process, with a generator, a judge and a store of detections that are loaded once."""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
import traceback
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core.choices import Device
from pipeline.core.errors import exit_code_of
from pipeline.dubbing.detection_cache import DetectionCache
from pipeline.dubbing.dubber import Dubber
from pipeline.dubbing.file_arguments import naming_options
from pipeline.dubbing.many.job_list import FILE_COLUMNS, DubJob, option_columns
from pipeline.dubbing.settings import named_inputs
from pipeline.dubbing.summary import DubSummary
from pipeline.dubbing.sync_score import DUB_JUDGE, DubScore, score_dub
from pipeline.inference.device import select_device
from pipeline.inference.lse_evaluator import Evaluator, load_judge
from pipeline.media.errors import MissingMediaError
from pipeline.params import load_params
from pipeline.report.progress import hidden_progress


@dataclass(frozen=True, kw_only=True, eq=False)
class WorkerSetup:
    """All that a worker needs beside the job's own files, so that the machines need no shared checkout.

    ``model``: the files of the generator's folder, uint8 [bytes] by name. ``cache_dir``: folder for detections; it is
    not used on a machine that lacks it.
    """

    params_text: str
    model: Mapping[str, NDArray[np.uint8]]
    device: Device
    cache_dir: Path
    is_scored: bool

    @cached_property
    def key(self) -> str:
        """Digest of all fields."""
        digest = hashlib.sha256(repr((self.params_text, self.device, self.cache_dir, self.is_scored)).encode())
        for name, content in sorted(self.model.items()):
            digest.update(name.encode() + hashlib.sha256(content.data).digest())
        return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class JobOutcome:
    """A job's summary, or the reason why it failed.

    ``bug``: the traceback of an error that should not occur. ``missing``: the input that does not exist on the machine
    that ran the job.
    """

    seconds: float = 0.0
    summary: DubSummary | None = None
    reason: str | None = None
    bug: str | None = None
    missing: Path | None = None
    score: DubScore | None = None
    no_score: str | None = None


class JobWorker:
    """Runs jobs one after another. Raises the errors of ``Dubber.load`` when it is created."""

    def __init__(self, setup: WorkerSetup) -> None:
        with tempfile.TemporaryDirectory(prefix="lipsmith-") as folder:
            root = Path(folder)
            (root / "model").mkdir()
            for name, content in setup.model.items():
                (root / "model" / name).write_bytes(content.data)
            (root / "params.yaml").write_text(setup.params_text)
            self._params = load_params(root / "params.yaml").preprocess
            dubber = Dubber.load(root / "model", device=setup.device, root=root)
        self._setup = setup
        self._cache: DetectionCache | None = None
        if setup.cache_dir.is_dir():
            detector_settings = self._params.detector_score, self._params.detector_max_px
            self._cache = DetectionCache(setup.cache_dir, detector_settings)
            dubber = dubber.with_detectors(self._cache.wrap)
        self._dubber = dubber

    def __call__(self, job: DubJob) -> JobOutcome:
        """Dub and score. Each error is part of the outcome, so that no job stops another."""
        started = time.monotonic()
        try:
            with hidden_progress():
                outcome = self._scored(self._dub(job))
        except Exception as error:
            outcome = _failure(error)
        return replace(outcome, seconds=time.monotonic() - started)

    def _dub(self, job: DubJob) -> DubSummary:
        fps = job.options.get("fps")
        stored = self._cache.of_video(job.face, fps) if self._cache else nullcontext()
        inputs = named_inputs(job.face, job.audio, job.options.get("drive"), job.options.get("segments", ()))
        with naming_options(inputs), stored:
            return self._dubber(job.face, job.audio, job.out, **job.options)

    def _scored(self, summary: DubSummary) -> JobOutcome:
        if not self._setup.is_scored:
            return JobOutcome(summary=summary)
        try:
            return JobOutcome(summary=summary, score=score_dub(summary, self._judge, self._params))
        except Exception as error:  # the dub is finished, whatever the score
            failure = _failure(error)
            return JobOutcome(summary=summary, no_score=failure.reason, bug=failure.bug)

    @cached_property
    def _judge(self) -> Evaluator:
        return load_judge(DUB_JUDGE, select_device(self._setup.device))


def _failure(error: Exception) -> JobOutcome:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return JobOutcome(reason="it needs more memory than is free")
    if exit_code_of(error) is not None:
        missing = error.path if isinstance(error, MissingMediaError) and not error.path.exists() else None
        return JobOutcome(reason=with_columns(str(error)), missing=missing)
    return JobOutcome(reason=f"internal error: {type(error).__name__}: {error}", bug=traceback.format_exc())


def with_columns(text: str) -> str:
    """A message in which the columns of the list take the place of the options: ``--on-missing`` is ``on_missing``."""
    columns = (*FILE_COLUMNS, *option_columns())

    def column(match: re.Match[str]) -> str:
        name = match[1].replace("-", "_")
        return name if name in columns else match[0]

    return re.sub(r"--([a-z]+(?:-[a-z]+)*)", column, text)
