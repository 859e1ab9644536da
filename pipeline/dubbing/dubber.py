"""The Python interface of dubbing: a generator that is loaded once and dubs any number of videos.

The module imports heavy packages when they are needed, so that command lines start quickly.
"""

from __future__ import annotations

import threading
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Self, Unpack

from pipeline.core.choices import Device, Runtime
from pipeline.core.layout import Layout, find_root
from pipeline.dubbing.generator_folder import generator_folder
from pipeline.dubbing.options import DubOptions, require_choices
from pipeline.dubbing.summary import DubSummary

if TYPE_CHECKING:
    from pipeline.dubbing.dub import DetectorsFor, GenerateMouths
    from pipeline.dubbing.face_path import FollowSettings

DEFAULT_VARIANT = "lstm_cbam"
_one_at_a_time = threading.Lock()  # the detectors and the numbers of threads belong to the process


class Dubber:
    """Dubs videos with one generator. ``Dubber.load`` creates it from a saved generator.

    Calls from several threads run one after another. For parallel work use one process each.
    """

    def __init__(self, generate: GenerateMouths, detectors_for: DetectorsFor, follow: FollowSettings) -> None:
        self._generate, self._detectors_for, self._follow = generate, detectors_for, follow

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
        the working directory.
        Raises UserError if there is no such generator, no checkout or no such device.
        """
        from pipeline.dubbing.face_path import FollowSettings
        from pipeline.faces.detector import detectors_by_zoom
        from pipeline.inference.runtimes import load_generator
        from pipeline.params import load_params

        layout = Layout(root or find_root())
        with generator_folder(layout, model) as folder:
            params = load_params(layout.params_path)
            generate = load_generator(folder, device, runtime, params.runtime.num_threads, layout.exports_dir)
        preprocess = params.preprocess
        return cls(
            generate,
            partial(detectors_by_zoom, preprocess.detector_score, preprocess.detector_max_px),
            FollowSettings(preprocess.max_gap_frames, preprocess.smooth_frames, preprocess.cut_change),
        )

    def __call__(
        self,
        face: str | PathLike[str],
        audio: str | PathLike[str],
        out: str | PathLike[str],
        **options: Unpack[DubOptions],
    ) -> DubSummary:
        """Dub the video ``face`` with the speech ``audio`` and write ``out`` atomically.

        ``options`` are those of ``python -m pipeline dub``, with underscores. Raises MediaError for an unusable input
        and UserError for arguments that cannot be used.
        """
        from pipeline.dubbing.dub import DubSettings, dub_file

        require_choices(options)
        settings = DubSettings(follow=self._follow, **options)
        with _one_at_a_time:
            return dub_file(Path(face), Path(audio), Path(out), self._generate, self._detectors_for, settings)
