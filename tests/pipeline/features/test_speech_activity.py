"""Speech in silence and in noise, of made and of real sounds."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.features.samples import float_to_int16
from pipeline.features.speech_activity import speech_activity
from tests.support.media_readers import read_samples
from tests.support.sound import speech_like

RATE_HZ = 16_000


def scene(noise: float, gain: float = 1.0) -> np.ndarray:
    """A second of background, 1.5 s of speech, and another second of background."""
    silence = np.zeros(RATE_HZ, np.float32)
    samples = np.concatenate([silence, gain * speech_like(1.5), silence])
    return float_to_int16(samples + noise * np.random.default_rng(1).normal(size=len(samples)).astype(np.float32))


@pytest.mark.parametrize(("noise", "gain"), [(0.0, 1.0), (0.003, 1.0), (0.003, 0.25), (0.0, 0.05)])
def test_speech_is_where_it_is_loud(noise, gain):
    active = speech_activity(scene(noise, gain))
    assert len(active) == 350
    assert not active[:95].any() and not active[255:].any()
    assert active[105:245].mean() > 0.9


def test_no_sound_is_no_speech():
    assert speech_activity(np.zeros(0, np.int16)).shape == (0,)
    assert not speech_activity(np.zeros(RATE_HZ, np.int16)).any()


def test_short_clicks_are_no_speech_and_short_pauses_are():
    samples = np.zeros(3 * RATE_HZ, np.float32)
    tone = (0.3 * np.sin(np.arange(RATE_HZ) / 4)).astype(np.float32)
    samples[8_000:8_480] = tone[:480]  # 30 ms
    samples[RATE_HZ : 2 * RATE_HZ] = tone
    samples[RATE_HZ + 4_800 : RATE_HZ + 8_000] = 0  # 200 ms
    active = speech_activity(float_to_int16(samples))
    assert not active[:95].any() and active[102:198].all()


def test_speech_of_a_real_clip_begins_after_its_start_and_ends_before_its_end(shared_data):
    active = speech_activity(float_to_int16(read_samples(shared_data / "grid/s1/lwwm2p.mp4")))
    assert not active[:10].any() and not active[-20:].any()
    assert 0.4 < active.mean() < 0.85
