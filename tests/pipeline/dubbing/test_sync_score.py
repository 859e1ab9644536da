"""What the judge of a dub gets: the dubbed face, and the sound of the same time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.dubbing import DubbedFace
from pipeline.dubbing.sync_score import DubScore, score_dub
from pipeline.media.file import MediaFile
from pipeline.media.writer import VideoWriter
from pipeline.params import load_params
from tests.support.drawn_face import RATE_HZ, draw_face, tone
from tests.support.dub_runs import summary_of

ROOT = Path(__file__).resolve().parents[3]


def test_the_judge_gets_faces_in_square_pixels(tmp_path):
    contexts = []

    def judge(context, samples):
        contexts.append(context)
        rng = np.random.default_rng(0)
        return rng.normal(size=(40, 8)), rng.normal(size=(40, 8))

    for width in (160, 80):
        path = tmp_path / f"{width}.mp4"
        aspect = Fraction(160, width)
        with VideoWriter(path, 25, (width, 160), tone(1.8), preset="ultrafast", pixel_aspect=aspect) as writer:
            for _ in range(45):
                writer.write(cv2.resize(draw_face(80, 76), (width, 160), interpolation=cv2.INTER_AREA))
        box = (48 * width // 160, 30, 112 * width // 160, 120)
        face = DubbedFace(number=1, num_frames=45, start_s=0.0, end_s=1.8, box_px=box)
        score_dub(summary_of(path, 45, face), judge, load_params(ROOT / "params.yaml").preprocess)
    square, made_square = (context.astype(int) for context in contexts)
    assert np.abs(made_square - square).mean() < 6


def test_the_judge_gets_the_sound_of_the_scored_frames_and_no_other_is_kept(tmp_path, monkeypatch):
    """The face is dubbed from 0.4 s to 2.0 s, and the sound begins at 1.2 s."""
    path = tmp_path / "out.mp4"
    sound = np.concatenate([np.zeros(round(1.2 * RATE_HZ), np.float32), tone(1.2)])
    with VideoWriter(path, 25, (160, 160), sound, preset="ultrafast") as writer:
        for _ in range(60):
            writer.write(draw_face(80, 76))
    face = DubbedFace(number=1, num_frames=40, start_s=0.4, end_s=2.0, box_px=(48, 30, 112, 120))
    summary = summary_of(path, 60, face)
    seen = []

    def judge(context, samples):
        seen.append((context, samples))
        rng = np.random.default_rng(0)
        return rng.normal(size=(35, 8)), rng.normal(size=(35, 8))

    monkeypatch.setattr(MediaFile, "samples", lambda *_: pytest.fail("the whole sound is held in memory"))
    score_dub(summary, judge, load_params(ROOT / "params.yaml").preprocess)
    [(context, samples)] = seen
    assert context.shape == (40, 224, 224, 3) and samples.shape == (40 * 640,)
    loud = np.flatnonzero(np.abs(samples) > 1000)
    assert loud[0] == pytest.approx(0.8 * RATE_HZ, abs=100)


@pytest.mark.parametrize(("offset", "found"), [(0, 0), (14, 14), (-14, -14), (15, None), (-15, None)])
def test_an_offset_at_the_border_of_the_search_is_not_found(offset, found):
    assert DubScore(lse_c=1.0, lse_d=9.0, offset_frames=offset).found_offset == found
