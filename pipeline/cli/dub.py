"""``python -m pipeline dub``: chooses the generator, dubs a video with it and reports the result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.errors import user_errors
from pipeline.core.choices import Device, Length, Reference
from pipeline.core.errors import UserError
from pipeline.core.layout import Layout, find_root
from pipeline.dubbing.choices import Fill, OnMissing
from pipeline.promote.choices import Alias

if TYPE_CHECKING:
    from pipeline.dubbing.dub import DubSummary, Report


def dub(
    face: Annotated[Path, typer.Option(help="Video (or picture) of one speaker.")],
    audio: Annotated[Path, typer.Option(help="Speech: any sound file, or a video's sound.")],
    out: Annotated[Path, typer.Option(help="MP4 to write; replaced if it exists.")],
    variant: Annotated[str, typer.Option(help="Trained variant that draws the mouth.")] = "lstm_cbam",
    model: Annotated[Path | None, typer.Option(help="Folder of a saved generator, instead of --variant.")] = None,
    registered: Annotated[
        Alias | None, typer.Option(help="Model with this alias in the MLflow registry, instead of --variant.")
    ] = None,
    length: Annotated[
        Length,
        typer.Option(help="Input whose length the output has. A video longer than its sound ends in silence."),
    ] = "audio",
    fill: Annotated[
        Fill,
        typer.Option(help="How a video shorter than the sound continues: backwards and forwards, or from its start."),
    ] = "pingpong",
    on_missing: Annotated[
        OnMissing,
        typer.Option(
            help="Frames without a face: keep leaves them as they are, error stops; auto keeps them unless all are "
            "without."
        ),
    ] = "auto",
    reference: Annotated[
        Reference,
        typer.Option(
            help="Picture that shows the identity: the first frame of the shot, or the same frame, whose mouth shows "
            "through."
        ),
    ] = "first",
    device: Annotated[
        Device, typer.Option(help="Where the generator runs. auto is CUDA if it is available, else the CPU.")
    ] = "auto",
) -> None:
    """Make the face in a video speak other words.

    The output keeps the video's frame rate and size; an odd side grows by one pixel, since H.264 wants even ones.
    Only the mouth region of the picture is drawn anew. A small face is searched for in larger and larger pictures.
    """
    with user_errors():
        from pipeline.cli.main import _show_progress

        layout = Layout(find_root())
        choices = {"length": length, "fill": fill, "on_missing": on_missing, "reference": reference}
        with generator_folder(layout, model, registered, variant) as folder:
            summary = dub_video(layout, face, audio, out, folder, device, _show_progress, **choices)
        typer.echo(summary_line(summary))


def dub_video(
    layout: Layout, face: Path, audio: Path, out: Path, model_dir: Path, device: Device, report: Report, **choices: Any
) -> DubSummary:
    """Dub with a saved generator and the checkout's face settings; ``choices`` are DubSettings' own."""
    from pipeline.dubbing import dub as dubbing
    from pipeline.dubbing.face_path import FollowSettings
    from pipeline.faces.detector import detectors_by_zoom
    from pipeline.inference.generator import MouthGenerator
    from pipeline.params import load_params

    preprocess = load_params(layout.params_path).preprocess
    follow = FollowSettings(preprocess.max_gap_frames, preprocess.smooth_frames, preprocess.cut_change)
    return dubbing.dub_file(
        face,
        audio,
        out,
        MouthGenerator.load(model_dir, device),
        partial(detectors_by_zoom, preprocess.detector_score, preprocess.detector_max_px),
        dubbing.DubSettings(follow=follow, **choices),
        report,
    )


@contextmanager
def generator_folder(layout: Layout, model: Path | None, registered: Alias | None, variant: str) -> Iterator[Path]:
    """The folder of the generator that was asked for; a registered one's lasts as long as the block.

    Raises UserError for two answers to one question, and with a remedy where nothing is trained.
    """
    if registered:
        if model:
            raise UserError(f"--registered {registered} and --model {model} both name a model; give one of them")
        from pipeline.promote.registry import open_registry

        with open_registry(layout) as registry, registry.files(registry.aliased(registered)) as folder:
            yield folder
        return
    if model is None:
        from pipeline.params import load_params

        load_params(layout.params_path).require_variant(variant)
    folder = model or layout.stage_dir("train_gan", variant) / "model"
    if not (folder / "model.json").is_file():
        remedy = "give another --model" if model else f"`dvc repro train_gan@{variant}` trains it, or give --model"
        raise UserError(f"no trained generator in {folder}; {remedy}")
    yield folder


def summary_line(summary: DubSummary) -> str:
    return (
        f"{summary.path}: {summary.num_frames} frames, {summary.width}x{summary.height} at {summary.fps:.6g} fps, "
        f"{summary.duration_s:.2f} s; {summary.num_missing} frames without a face left as they were; "
        f"took {summary.seconds:.1f} s ({summary.num_frames / summary.seconds:.1f} frames/s)"
    )
