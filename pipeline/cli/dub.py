"""``python -m pipeline dub``: selects a generator, dubs a video with it and prints a summary."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.errors import user_errors
from pipeline.core.choices import Device, Length, Reference, Runtime
from pipeline.core.errors import UserError
from pipeline.dubbing import Dubber, DubSummary
from pipeline.dubbing.choices import Fill, OnMissing
from pipeline.dubbing.dubber import DEFAULT_VARIANT
from pipeline.promote.choices import Alias


def dub(
    face: Annotated[Path, typer.Option(help="Video or image of one speaker.")],
    audio: Annotated[Path, typer.Option(help="Speech: an audio file, or a video whose sound is used.")],
    out: Annotated[Path, typer.Option(help="MP4 file to write. An existing file is replaced.")],
    variant: Annotated[str, typer.Option(help="Trained variant that generates the mouth.")] = DEFAULT_VARIANT,
    model: Annotated[
        Path | None,
        typer.Option(help="Folder of a saved generator, or with --runtime onnx an ONNX file. Overrides --variant."),
    ] = None,
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
    runtime: Annotated[
        Runtime,
        typer.Option(
            help="Library that runs the generator. onnx needs the extra lipsmith[onnx] and starts faster, since torch "
            "is not imported. Its first use with a generator exports it."
        ),
    ] = "torch",
) -> None:
    """Replace the speech in a video and generate matching lips.

    The output has the video's frame rate and size. An odd width or height grows by one pixel, since H.264 requires even
    sizes. Only the mouth region changes. For a small face, detection is repeated at higher resolutions.
    """
    from pipeline.dubbing.output import require_output

    with user_errors():
        require_output(out, face, audio)
        dubber = Dubber.load(_model(model, registered, variant), device=device, runtime=runtime)
        summary = dubber(
            face,
            audio,
            out,
            audio_track=audio_track,
            length=length,
            fill=fill,
            on_missing=on_missing,
            reference=reference,
        )
        typer.echo(summary_line(summary))


def _model(model: Path | None, registered: Alias | None, variant: str) -> str | Path:
    if registered and model:
        raise UserError(f"--registered {registered} and --model {model} both name a model; give only one of them")
    return registered or model or variant


def summary_line(summary: DubSummary) -> str:
    return (
        f"{summary.path}: {summary.num_frames} frames, {summary.width}x{summary.height} at {summary.fps:.6g} fps, "
        f"{summary.duration_s:.2f} s; {summary.num_missing} frames without a face left unchanged; "
        f"took {summary.seconds:.1f} s ({summary.num_frames / summary.seconds:.1f} frames/s)"
        + "".join(f"\nnote: {note}" for note in summary.notes)
    )
