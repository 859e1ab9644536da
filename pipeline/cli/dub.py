"""What ``python -m pipeline dub`` does: which generator draws, with which settings, and what it says of the result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.core.layout import Layout
from pipeline.dubbing.dub import DubSettings, DubSummary, Report, dub
from pipeline.dubbing.face_path import FollowSettings
from pipeline.faces.detector import detectors_by_zoom
from pipeline.inference.generator import MouthGenerator
from pipeline.params import load_params


def dub_video(
    layout: Layout, face: Path, audio: Path, out: Path, model_dir: Path, device: str, report: Report, **choices: Any
) -> DubSummary:
    """Dub with a saved generator and the checkout's face settings; ``choices`` are DubSettings' own."""
    preprocess = load_params(layout.params_path).preprocess
    follow = FollowSettings(preprocess.max_gap_frames, preprocess.smooth_frames, preprocess.cut_change)
    return dub(
        face,
        audio,
        out,
        MouthGenerator.load(model_dir, device),
        partial(detectors_by_zoom, preprocess.detector_score, preprocess.detector_max_px),
        DubSettings(follow=follow, **choices),
        report,
    )


@contextmanager
def generator_folder(layout: Layout, model: Path | None, registered: str | None, variant: str) -> Iterator[Path]:
    """The folder of the generator that was asked for; a registered one's lasts as long as the block.

    Raises ValueError for two answers to one question, FileNotFoundError with a remedy where nothing is trained.
    """
    if registered:
        if model:
            raise ValueError(f"--registered {registered} and --model {model} both name a model; give one of them")
        from pipeline.promote.registry import open_registry

        with open_registry(layout) as registry, registry.files(registry.aliased(registered)) as folder:
            yield folder
        return
    if model is None:
        load_params(layout.params_path).require_variant(variant)
    folder = model or layout.stage_dir("train_gan", variant) / "model"
    if not (folder / "model.json").is_file():
        remedy = "give another --model" if model else f"`dvc repro train_gan@{variant}` trains it, or give --model"
        raise FileNotFoundError(f"no trained generator in {folder}; {remedy}")
    yield folder


def summary_line(summary: DubSummary) -> str:
    return (
        f"{summary.path}: {summary.num_frames} frames, {summary.width}x{summary.height} at {summary.fps:.6g} fps, "
        f"{summary.duration_s:.2f} s; {summary.num_missing} frames without a face left as they were; "
        f"took {summary.seconds:.1f} s ({summary.num_frames / summary.seconds:.1f} frames/s)"
    )
