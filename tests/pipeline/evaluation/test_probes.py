"""Drawings whose outcome is known, by generators whose outcome is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.evaluation.probes import run_probes
from pipeline.inference.generator_inputs import AudioSource
from pipeline.shards.clip import Clip

Images = NDArray[np.uint8]


def is_silent(voice: AudioSource) -> bool:
    return bool(np.ptp(voice.mel) == 0 and not voice.audio.any())


def test_a_perfect_generator_but_for_ten_grey_levels_rests_in_silence(clips: dict[str, Clip]) -> None:
    def generate(crops: Images, voice: AudioSource) -> Images:
        if is_silent(voice):
            return np.broadcast_to(crops[:1], crops.shape)
        return np.clip(crops.astype(int) + 10, 0, 255).astype(np.uint8)

    found = run_probes(clips.values(), generate)
    assert found is not None
    assert (found.num_clips, found.silence_motion) == (len(clips), 0)
    assert found.psnr_db == pytest.approx(28.13, abs=0.3)  # 20 log10(255 / 10), less where 255 is reached
    assert 0.8 < found.ssim < 1
    assert found.warping_error == pytest.approx(found.real_warping_error, rel=0.05)


def test_flicker_is_an_error_along_the_real_motion(clips: dict[str, Clip]) -> None:
    def flickering(crops: Images, voice: AudioSource) -> Images:
        """Darkness with every other frame 30 grey levels up."""
        return np.full_like(crops, 30) * (np.arange(len(crops)) % 2).astype(np.uint8)[:, None, None, None]

    found = run_probes(clips.values(), flickering)
    assert found is not None and found.warping_error == pytest.approx(30)
    assert 0 < found.metrics()["real_warping_error"] < 15


def test_a_generator_that_does_not_listen_moves_as_much_in_silence(clips: dict[str, Clip]) -> None:
    found = run_probes(clips.values(), lambda crops, voice: 255 - crops)
    assert found is not None and found.silence_motion == pytest.approx(1)


def test_nothing_to_draw_or_nothing_that_moves_gives_no_figures(clips: dict[str, Clip]) -> None:
    assert run_probes([], lambda crops, voice: crops) is None
    assert run_probes(clips.values(), lambda crops, voice: np.zeros_like(crops)) is None
