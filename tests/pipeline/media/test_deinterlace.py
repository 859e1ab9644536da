"""Interlaced video: no combs, no lost or added frame, progressive frames as they are."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.media.combing import CombNotes, _Judge
from pipeline.media.file import MediaFile

NUM, WIDTH, HEIGHT = 8, 96, 64
SPEED = 8


def moment(time: float) -> np.ndarray:
    """A bright bar that moves to the right by ``SPEED`` pixels per frame."""
    image = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    left = round(8 + SPEED * time)
    image[:, left : left + 16] = 200
    return image


def write(path: Path, is_interlaced: bool) -> None:
    options = {"crf": "4", "x264-params": "bff=1"} if is_interlaced else {"crf": "4"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(NUM):
            image = moment(number)
            if is_interlaced:
                image[::2] = moment(number + 0.5)[::2]  # the bottom field is first
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))


def combs(image: np.ndarray) -> float:
    """Difference of neighbouring rows beyond that of every second row, grey levels; 0 without combs."""
    rows = image.astype(float).mean(axis=2)
    return float(np.abs(np.diff(rows, axis=0)).mean() - np.abs(rows[2:] - rows[:-2]).mean() / 2)


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".ts"])
def test_moving_edges_have_no_combs_and_times_stay(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"v{suffix}", is_interlaced=True)
    with MediaFile(tmp_path / f"v{suffix}") as media:
        frames = list(media.frames())
        assert media.notes == ("its interlaced frames are deinterlaced",)
    assert len(frames) == NUM
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(NUM) / 25, atol=1e-3)
    woven = moment(3)
    woven[::2] = moment(3.5)[::2]
    assert combs(woven) > 10
    for number, frame in enumerate(frames[1:-1], 1):
        assert combs(frame.image) < 3
        assert np.abs(frame.image.astype(float) - moment(number)).mean() < 6


def test_only_one_pass_is_searched_for_combs(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[int] = []
    monkeypatch.setattr(_Judge, "__init__", lambda self, first: None)
    monkeypatch.setattr(_Judge, "takes", lambda self, frame: True)
    monkeypatch.setattr(_Judge, "is_combed_with", lambda self, frame: bool(judged.append(1)))
    frame = av.VideoFrame(16, 16, "yuv420p")
    timed = [(Fraction(number), Fraction(number + 1), frame) for number in range(5)]
    combs_notes = CombNotes(print)
    assert next(combs_notes.watch(timed)) == timed[0]  # a pass that ends early
    assert len(judged) == 1
    for _ in range(3):
        assert list(combs_notes.watch(timed)) == timed
    assert len(judged) == 1 + 5


def test_progressive_frames_are_not_touched(tmp_path: Path) -> None:
    write(tmp_path / "v.mp4", is_interlaced=False)
    with MediaFile(tmp_path / "v.mp4") as media:
        frames = [frame.image for frame in media.frames()]
        assert media.notes == ()
    assert max(np.abs(image.astype(float) - moment(k)).mean() for k, image in enumerate(frames)) < 3
