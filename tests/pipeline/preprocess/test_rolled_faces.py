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


def mouth_in(crop: np.ndarray) -> list[float]:
    """Column and row of the middle of the dark mouth, in shares of the crop."""
    size = len(crop)
    part = crop[size // 2 : 9 * size // 10, size // 4 : 3 * size // 4].astype(int).sum(axis=2)
    rows, columns = np.nonzero(part < 200)
    return [columns.mean() / size + 0.25, rows.mean() / size + 0.5]


@pytest.mark.parametrize("roll", [60, 135])
def test_a_rolled_face_is_cut_out_upright(make_clip, params, roll: float) -> None:
    align = params.model_copy(update={"rolled_faces": "align"})
    samples = [
        next(iter(process_clip(make_clip(f"at{degrees}", frames=rolled(degrees)), align, Path("/"))))
        for degrees in (0, roll)
    ]
    assert all(isinstance(sample, ClipSample) for sample in samples)
    upright, aligned = (
        (
            decode_mjpeg(sample.frames_mjpeg, sample.frame_bytes),
            decode_mjpeg(sample.context_mjpeg, sample.context_bytes),
        )
        for sample in samples
    )
    for expected, shown in zip(upright, aligned, strict=True):
        for index in (5, 15, 25):
            np.testing.assert_allclose(mouth_in(shown[index]), mouth_in(expected[index]), atol=0.05)


def test_a_rolled_face_is_rejected_by_default(make_clip, params) -> None:
    (rejected,) = process_clip(make_clip("rolled", frames=rolled(60)), params, Path("/"))
    assert isinstance(rejected, Reject) and rejected.reason == "face_turned"
    assert "set preprocess.rolled_faces in params.yaml to align" in rejected.detail


def test_an_upright_face_gives_the_same_sample_with_both_settings(make_clip, params) -> None:
    record = make_clip("upright")
    kept, aligned = (
        next(iter(process_clip(record, params.model_copy(update={"rolled_faces": value}), Path("/"))))
        for value in ("reject", "align")
    )
    assert isinstance(kept, ClipSample) and isinstance(aligned, ClipSample)
    assert (aligned.frames_mjpeg, aligned.context_mjpeg) == (kept.frames_mjpeg, kept.context_mjpeg)
