"""A generator as an MLflow model that dubs videos. MLflow imports this module when it loads a registered version.

The model's folder contains a copy of this code, so it can be loaded and served without a checkout.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pipeline.core.choices import Device
from pipeline.core.errors import UserError
from pipeline.inference.package_columns import INPUTS, OUTPUT

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.dubbing.mouths import GenerateMouths


class VideoDubber:
    """Dubs the videos of tables with one generator. Calls from several threads run one after another."""

    def __init__(self, generate: GenerateMouths, config: dict[str, Any]) -> None:
        from pipeline.dubbing.dubber import Dubber
        from pipeline.dubbing.face_path import FollowSettings
        from pipeline.faces.any_roll import detectors_with_gap_search

        self._dubber = Dubber(
            generate,
            partial(detectors_with_gap_search, config["detector_score"], config["detector_max_px"]),
            FollowSettings(config["max_gap_frames"], config["smooth_frames"], config["cut_change"]),
        )

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One MP4 file per row, in the column ``video``.

        ``model_input``: the columns ``face`` (content of a video or image of one speaker) and ``audio`` (content of an
        audio file with the speech, or of a video with it), as bytes. Raises UserError for missing columns, and the
        errors of ``Dubber``.
        """
        import pandas as pd

        if absent := [name for name in INPUTS if name not in model_input.columns]:
            raise UserError(
                f"the input has no column {' and '.join(absent)}; give a table with the columns face and audio, each "
                "with the content of files"
            )
        videos = [self._dub(face, audio) for face, audio in zip(model_input["face"], model_input["audio"], strict=True)]
        return pd.DataFrame({OUTPUT: videos})

    def _dub(self, face: bytes, audio: bytes) -> bytes:
        with tempfile.TemporaryDirectory(prefix="lipsmith-") as folder:
            paths = [Path(folder, name) for name in (*INPUTS, "out.mp4")]
            paths[0].write_bytes(face)
            paths[1].write_bytes(audio)
            self._dubber(*paths)
            return paths[2].read_bytes()


def _load_pyfunc(path: str, model_config: dict[str, Any]) -> VideoDubber:
    """MLflow calls this with the folder of the generator and the settings that were stored with it.

    The caller of ``mlflow.pyfunc.load_model`` can replace a setting with ``model_config``, for example
    ``{"device": "cpu"}``. Raises UserError for an unknown device.
    """
    from pipeline.inference.device import set_threads
    from pipeline.inference.generator import MouthGenerator

    device = model_config["device"]
    if device not in get_args(Device):
        raise UserError(f"model_config: device is {device!r}; it must be one of {', '.join(get_args(Device))}")
    set_threads(model_config["num_threads"])
    generator = MouthGenerator.load(Path(path), device)
    generator.fuse()
    return VideoDubber(generator, model_config)
