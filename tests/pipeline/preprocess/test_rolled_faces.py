"""Rolled faces in data: rejected with a reason, or cut out upright."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.media.mjpeg import decode_mjpeg
from pipeline.preprocess.clip import process_clip
from pipeline.shards.index import Reject
from pipeline.shards.write import ClipSample
from tests.support.media_cases import faces


def rolled(roll: float) -> list[np.ndarray]:
    turn = cv2.getRotationMatrix2D((119.5, 119.5), -roll, 1)
    wide = [np.pad(face, ((40, 40), (40, 40), (0, 0)), mode="edge") for face in faces()]
    return [cv2.warpAffine(face, turn, (240, 240), borderValue=(120, 110, 100)) for face in wide]


@pytest.mark.parametrize("roll", [60, 135])
def test_a_rolled_face_is_rejected_or_cut_out_upright(make_clip, params, roll: float) -> None:
    record = make_clip("rolled", frames=rolled(roll))
    (rejected,) = process_clip(record, params, Path("/"))
    assert isinstance(rejected, Reject) and rejected.reason in ("face_turned", "no_face")
    align = params.model_copy(update={"rolled_faces": "align"})
    (sample,) = process_clip(record, align, Path("/"))
    (upright,) = process_clip(make_clip("upright", frames=rolled(0)), params, Path("/"))
    assert isinstance(sample, ClipSample) and isinstance(upright, ClipSample)
    for images in (
        lambda made: decode_mjpeg(made.frames_mjpeg, made.frame_bytes),
        lambda made: decode_mjpeg(made.context_mjpeg, made.context_bytes),
    ):
        shown, expected = images(sample), images(upright)
        assert np.abs(shown[5:25].astype(int) - expected[5:25]).mean() < 12


def test_an_upright_face_gives_the_same_sample_with_both_settings(make_clip, params) -> None:
    record = make_clip("upright")
    kept, aligned = (
        next(iter(process_clip(record, params.model_copy(update={"rolled_faces": value}), Path("/"))))
        for value in ("reject", "align")
    )
    assert isinstance(kept, ClipSample) and isinstance(aligned, ClipSample)
    assert (aligned.frames_mjpeg, aligned.context_mjpeg) == (kept.frames_mjpeg, kept.context_mjpeg)
