"""``python -m pipeline dub``: selects a generator, dubs a video with it and prints a summary."""

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
    from pipeline.dubbing.dub import DubSummary


def dub(
    face: Annotated[Path, typer.Option(help="Video or image of one speaker.")],
    audio: Annotated[Path, typer.Option(help="Speech: an audio file, or a video whose sound is used.")],
    out: Annotated[Path, typer.Option(help="MP4 file to write. An existing file is replaced.")],
    variant: Annotated[str, typer.Option(help="Trained variant that generates the mouth.")] = "lstm_cbam",
    model: Annotated[Path | None, typer.Option(help="Folder of a saved generator. Overrides --variant.")] = None,
    registered: Annotated[
        Alias | None, typer.Option(help="Model with this alias in the MLflow registry. Overrides --variant.")
    ] = None,
    audio_track: Annotated[
        int | None,
        typer.Option(
            help="Number of the audio track with the speech, from 1. Default: the default track of --audio, or its "
            "first one that can be decoded."
        ),
    ] = None,
    length: Annotated[
        Length,
        typer.Option(help="Input that sets the output's length. A video longer than the sound ends in silence."),
    ] = "audio",
    fill: Annotated[
        Fill,
        typer.Option(help="Extension of a video shorter than the sound: backwards and forwards, or from its start."),
    ] = "pingpong",
    on_missing: Annotated[
        OnMissing,
        typer.Option(
            help="Frames without a face: keep leaves them unchanged, error stops. auto is keep, but stops if no frame "
            "has a face."
        ),
    ] = "auto",
    reference: Annotated[
        Reference,
        typer.Option(
            help="Identity reference: the first frame of the shot, or the same frame. The same frame leaks its mouth "
            "into the result."
        ),
    ] = "first",
    device: Annotated[
        Device, typer.Option(help="Device of the generator. auto is CUDA if it is available, else the CPU.")
    ] = "auto",
) -> None:
    """Replace the speech in a video and generate matching lips.

    The output has the video's size and frame rate; if the rate varies, each frame keeps its time. An odd width or
    height grows by one pixel, since H.264 requires even sizes. Only the mouth region changes. For a small face,
    detection is repeated at higher resolutions.
    """
    from pipeline.dubbing.output import require_output

    with user_errors():
        require_output(out, face, audio)
        layout = Layout(find_root())
        choices = {"length": length, "fill": fill, "on_missing": on_missing, "reference": reference}
        with generator_folder(layout, model, registered, variant) as folder:
            summary = dub_video(layout, face, audio, out, folder, device, audio_track=audio_track, **choices)
        typer.echo(summary_line(summary))


def dub_video(
    layout: Layout, face: Path, audio: Path, out: Path, model_dir: Path, device: Device, **choices: Any
) -> DubSummary:
    """Dub with a saved generator, and the face settings and number of threads of params.yaml.

    ``choices``: further fields of DubSettings.
    Raises the errors of ``load_params``, ``MouthGenerator.load`` and ``dub_file``.
    """
    from pipeline.dubbing import dub as dubbing
    from pipeline.dubbing.face_path import FollowSettings
    from pipeline.faces.any_roll import any_roll_detectors_by_zoom
    from pipeline.inference.device import set_threads
    from pipeline.inference.generator import MouthGenerator
    from pipeline.params import load_params

    params = load_params(layout.params_path)
    preprocess = params.preprocess
    set_threads(params.runtime.num_threads)
    follow = FollowSettings(preprocess.max_gap_frames, preprocess.smooth_frames, preprocess.cut_change)
    return dubbing.dub_file(
        face,
        audio,
        out,
        MouthGenerator.load(model_dir, device),
        partial(any_roll_detectors_by_zoom, preprocess.detector_score, preprocess.detector_max_px),
        dubbing.DubSettings(follow=follow, **choices),
    )


@contextmanager
def generator_folder(layout: Layout, model: Path | None, registered: Alias | None, variant: str) -> Iterator[Path]:
    """Yield the folder of the requested generator. The folder of a registered model is temporary.

    Raises UserError if both ``registered`` and ``model`` are given, or if the folder has no trained generator.
    """
    if registered:
        if model:
            raise UserError(f"--registered {registered} and --model {model} both name a model; give only one of them")
        from pipeline.promote.registry import open_registry

        with open_registry(layout) as registry, registry.files(registry.aliased(registered)) as folder:
            yield folder
        return
    if model is None:
        from pipeline.params import load_params

        load_params(layout.params_path).require_variant(variant)
    folder = model or layout.model_dir("train_gan", variant)
    if not (folder / "model.json").is_file():
        remedy = "give another --model" if model else f"`dvc repro train_gan@{variant}` trains it, or give --model"
        raise UserError(f"no trained generator in {folder}; {remedy}")
    yield folder


def summary_line(summary: DubSummary) -> str:
    return (
        f"{summary.path}: {summary.num_frames} frames, {summary.width}x{summary.height} at {summary.fps:.6g} fps, "
        f"{summary.duration_s:.2f} s; {summary.num_missing} frames without a face left unchanged; "
        f"took {summary.seconds:.1f} s ({summary.num_frames / summary.seconds:.1f} frames/s)"
        + "".join(f"\nnote: {note}" for note in summary.notes)
    )
