"""``python -m pipeline dub``: selects a generator, dubs a video with it and prints a summary."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.dub_texts import faces_text, summary_json, summary_line
from pipeline.cli.errors import user_errors
from pipeline.cli.model_option import chosen_model
from pipeline.core.choices import Alias, Device, Length, Reference, Runtime
from pipeline.core.errors import DataError, UserError
from pipeline.dubbing import Dubber
from pipeline.dubbing import list_faces as find_faces
from pipeline.dubbing.dubber import DEFAULT_VARIANT, check_request
from pipeline.dubbing.option_values import Fill, InSilence, OnMissing
from pipeline.dubbing.options import DubOptions


def dub(
    face: Annotated[
        Path, typer.Option(help="Video, picture, or folder of pictures in the order of their names. Shows who talks.")
    ],
    audio: Annotated[
        Path | None, typer.Option(help="Speech: an audio file, or a video whose sound is used. Not with --segments.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="MP4 file to write. An existing file is replaced.")] = None,
    variant: Annotated[str, typer.Option(help="Trained variant that generates the mouth.")] = DEFAULT_VARIANT,
    model: Annotated[
        Path | None,
        typer.Option(help="Folder of a saved generator, or with --runtime onnx an ONNX file. Overrides --variant."),
    ] = None,
    registered: Annotated[
        Alias | None, typer.Option(help="Model with this alias in the MLflow registry. Overrides --variant.")
    ] = None,
    who: Annotated[
        str,
        typer.Option(
            metavar="largest|talking|N",
            help="Face to dub: the largest one, and in frames without it the next largest; the one whose mouth moves "
            "with the sound of --face; or number N of --list-faces, several as 1,3. In a frame with several of "
            "these numbers, only the one named first is dubbed. With talking and N, other faces stay as they are.",
        ),
    ] = "largest",
    list_faces: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG",
            help="Print the faces of --face, write their pictures and numbers to this file, and end. An existing file "
            "is replaced. Without any face, no file is written and the exit code is 3.",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Time in --face where the speech starts, in seconds or as 1:02.5. The video before it keeps its "
            "pictures and its sound. Mouths change at the nearest frame.",
        ),
    ] = None,
    end: Annotated[
        str | None, typer.Option(metavar="TIME", help="Time in --face where the dub ends. Default: with the speech.")
    ] = None,
    segments: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV", help="List of parts with columns start, end, audio and, if wanted, who. Replaces --audio."
        ),
    ] = None,
    drive: Annotated[
        Path | None,
        typer.Option(help="Speech that the lips follow, if --audio is a mix. Both must start at the same time."),
    ] = None,
    in_silence: Annotated[
        InSilence,
        typer.Option(help="Mouth while nobody speaks: keep shows that of --face, rest generates one that rests."),
    ] = "rest",
    audio_track: Annotated[
        int | None,
        typer.Option(
            help="Number of the audio track with the speech, from 1. Default: the default track of --audio, or its "
            "first one that can be decoded."
        ),
    ] = None,
    length: Annotated[
        Length,
        typer.Option(
            help="Input that sets the output's length. audio cuts or repeats the video; video cuts the sound or pads "
            "it with silence. With --start, --end or --segments it is always the video."
        ),
    ] = "audio",
    fill: Annotated[
        Fill,
        typer.Option(help="Extension of a video shorter than the sound: backwards and forwards, or from its start."),
    ] = "pingpong",
    fps: Annotated[float | None, typer.Option(help="Frame rate of a folder of pictures. Default: 25.")] = None,
    on_missing: Annotated[
        OnMissing,
        typer.Option(
            help="Frames without the face: keep leaves them unchanged, error stops. auto is keep, but stops if fewer "
            "frames than --min-dubbed show it."
        ),
    ] = "auto",
    min_dubbed: Annotated[
        float | None,
        typer.Option(
            help="Smallest share of the frames, 0 to 1, that must show the face. Otherwise nothing is written and the "
            "exit code is 3. Default: 0.5, and 0 with --on-missing keep."
        ),
    ] = None,
    detail: Annotated[
        float,
        typer.Option(
            help="Fine detail restored in the mouth, 0 to 1: the source's where the mouth is as in --face, and the "
            "generator's, sharpened, where it moved."
        ),
    ] = 0.0,
    keep_frames: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="New folder for the frames of the output as PNG files.")
    ] = None,
    comment: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Comment in the metadata of --out, such as that it is generated.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Small text that is drawn into a corner of every frame.")
    ] = None,
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
    json: Annotated[bool, typer.Option("--json", help="Print the summary, or the list of faces, as JSON.")] = False,
) -> None:
    """Replace the speech in a video and generate matching lips.

    The output has the video's size and frame rate; if the rate varies, each frame keeps its time. An odd width or
    height grows by one pixel, since H.264 requires even sizes. Only the mouth region changes. For a small face,
    detection is repeated at higher resolutions.
    """
    from pipeline.dubbing.segments import parse_time, read_segments

    with user_errors():
        if list_faces:
            listed = find_faces(face, list_faces, fps=fps)
            typer.echo(summary_json(listed) if json else faces_text(listed, face, list_faces))
            if not listed:
                raise typer.Exit(DataError.exit_code)
            return
        if out is None:
            raise UserError("no output is given; add --out, such as --out out.mp4")
        options: DubOptions = {
            "audio_track": audio_track,
            "length": length,
            "fill": fill,
            "fps": fps,
            "on_missing": on_missing,
            "reference": reference,
            "who": who,
            "start": None if start is None else parse_time(start),
            "end": None if end is None else parse_time(end),
            "segments": read_segments(segments) if segments else (),
            "in_silence": in_silence,
            "drive": drive,
            "min_dubbed": min_dubbed,
            "detail": detail,
            "keep_frames": keep_frames,
            "comment": comment,
            "label": label,
        }
        check_request(face, audio, out, options)
        dubber = Dubber.load(chosen_model(model, registered, variant), device=device, runtime=runtime)
        summary = dubber(face, audio, out, **options)
        typer.echo(summary_json(summary) if json else summary_line(summary))
