"""The Python interface of dubbing: a generator that is loaded once and dubs any number of videos.

The module imports heavy packages when they are needed, so that command lines start quickly.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from pipeline.core.choices import Device, Runtime
from pipeline.core.errors import UserError
from pipeline.core.layout import Layout, find_root
from pipeline.dubbing.generator_folder import generator_folder, is_of_rendered_faces
from pipeline.dubbing.options import DubOptions, require_options, require_path, require_segments
from pipeline.dubbing.phases import OnProgress
from pipeline.dubbing.segments import DubSegment
from pipeline.dubbing.summary import DubSummary, ListedFace

if TYPE_CHECKING:
    from pipeline.dubbing.dub import DetectorsFor
    from pipeline.dubbing.face_path import FollowSettings
    from pipeline.dubbing.mouths import GenerateMouths
    from pipeline.dubbing.settings import DubSettings

DEFAULT_VARIANT = "lstm_cbam"
OF_RENDERED_FACES = "the generator was trained on rendered faces only (profile demo) and does not work on real faces"
_one_at_a_time = threading.Lock()  # the detectors and the numbers of threads belong to the process


class Dubber:
    """Dubs videos with one generator. ``Dubber.load`` creates it from a saved generator.

    Calls from several threads run one after another. For parallel work use one process each.
    """

    def __init__(
        self,
        generate: GenerateMouths,
        detectors_for: DetectorsFor,
        follow: FollowSettings,
        notes: tuple[str, ...] = (),
    ) -> None:
        """``notes``: limits of the generator, which each summary repeats."""
        self._generate, self._detectors_for, self._follow, self._notes = generate, detectors_for, follow, notes

    @classmethod
    def load(
        cls,
        model: str | Path = DEFAULT_VARIANT,
        *,
        device: Device = "auto",
        runtime: Runtime = "torch",
        root: Path | None = None,
    ) -> Self:
        """Load a generator, with the face settings and the number of threads of params.yaml.

        ``model``: an alias of the registry (``champion``, ``previous``, ``challenger``), a variant of params.yaml, or
        the folder of a saved generator. With the runtime ``onnx`` it may also be an ONNX file; a folder is exported on
        its first use, and torch is not imported afterwards. ``root``: the checkout; by default the one that contains
        the working directory. Raises UserError if there is no such generator, no checkout or no such device.
        """
        from pipeline.inference.runtimes import load_generator
        from pipeline.params import load_params

        layout = Layout(root or find_root())
        with generator_folder(layout, model) as folder:
            num_threads = load_params(layout.params_path).runtime.num_threads
            generate = load_generator(folder, device, runtime, num_threads, layout.exports_dir)
            notes = (OF_RENDERED_FACES,) if is_of_rendered_faces(folder) else ()
        return cls(generate, *face_settings(layout), notes)

    def with_detectors(self, wrap: Callable[[DetectorsFor], DetectorsFor]) -> Self:
        """The same generator, with the face detectors that ``wrap`` makes of its own."""
        return type(self)(self._generate, wrap(self._detectors_for), self._follow, self._notes)

    def __call__(
        self,
        face: str | PathLike[str],
        audio: str | PathLike[str] | None,
        out: str | PathLike[str],
        **options: Unpack[DubOptions],
    ) -> DubSummary:
        """Dub the video ``face`` with the speech ``audio`` and write ``out`` atomically.

        ``audio`` is None if the option ``segments`` names the speech. ``options`` are those of ``python -m pipeline
        dub``, with underscores; ``start`` and ``end`` are seconds, or texts such as ``1:02.5``. Raises MediaError for
        an unusable input, DataError if too few frames show the face, and UserError for arguments that cannot be used.
        """
        from pipeline.dubbing.dub import dub_file

        speech, settings = _request(self._follow, audio, options)
        with _one_at_a_time:
            summary = dub_file(
                require_path("face", face),
                speech,
                require_path("out", out),
                self._generate,
                self._detectors_for,
                settings,
            )
        return replace(summary, notes=(*summary.notes, *self._notes)) if self._notes else summary


def check_request(face: Path, audio: Path | None, out: Path, options: DubOptions) -> None:
    """Raises UserError for arguments that a call of `Dubber` would refuse before it reads the inputs."""
    from pipeline.dubbing.face_path import FollowSettings
    from pipeline.dubbing.settings import check_files

    speech, settings = _request(FollowSettings(0, 0, 0), audio, options)
    check_files(face, speech, out, settings)


def list_faces(
    face: str | PathLike[str],
    sheet: str | PathLike[str] | None = None,
    *,
    fps: float | None = None,
    root: Path | None = None,
    on_progress: OnProgress | None = None,
    wrap: Callable[[DetectorsFor], DetectorsFor] | None = None,
) -> tuple[ListedFace, ...]:
    """The faces of a video with the numbers that the option ``who`` takes.

    ``sheet``: PNG file to write with a picture of each face. ``fps``: frame rate of a folder of pictures. ``root``: as
    in ``Dubber.load``. ``on_progress`` is called after each frame. ``wrap``: as in ``Dubber.with_detectors``. Raises
    MediaError for an unusable video, UserError for a sheet that cannot be written.
    """
    from pipeline.dubbing.face_list import find_listed_faces

    detectors_for, follow = face_settings(Layout(root or find_root()))
    if wrap is not None:
        detectors_for = wrap(detectors_for)
    with _one_at_a_time:
        return find_listed_faces(
            Path(face), detectors_for, follow, None if sheet is None else Path(sheet), fps, on_progress
        )


def face_settings(layout: Layout) -> tuple[DetectorsFor, FollowSettings]:
    """The detectors and the settings of face tracking, as params.yaml has them."""
    from pipeline.dubbing.face_path import FollowSettings
    from pipeline.faces.any_roll import detectors_with_gap_search
    from pipeline.params import load_params

    preprocess = load_params(layout.params_path).preprocess
    return (
        partial(detectors_with_gap_search, preprocess.detector_score, preprocess.detector_max_px),
        FollowSettings(preprocess.max_gap_frames, preprocess.smooth_frames, preprocess.cut_change),
    )


def _request(
    follow: FollowSettings, audio: str | PathLike[str] | None, options: DubOptions
) -> tuple[Path | None, DubSettings]:
    """The speech and the settings; ``start`` and ``end`` make the speech a segment."""
    from pipeline.dubbing.settings import DubSettings

    require_options(options)
    rest: dict[str, Any] = dict(options)
    start, end = rest.pop("start", None), rest.pop("end", None)
    speech = None if audio is None else require_path("audio", audio)
    if start is not None or end is not None:
        if speech is None or rest.get("segments"):
            raise UserError("start and end belong to --audio; segments have times of their own")
        rest["segments"] = [DubSegment(audio=speech, start_s=0.0 if start is None else start, end_s=end)]
        speech = None
    rest["segments"] = require_segments(rest.get("segments", ()))
    for name in ("drive", "keep_frames"):
        rest[name] = Path(value) if (value := rest.get(name)) is not None else None
    return speech, DubSettings(follow=follow, **rest)
