"""Spans of speech in synthesised speech between silences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.corpora.demo.speech import Voice, synthesise
from pipeline.features.samples import float_to_int16
from pipeline.inference.speech_spans import SpeechDetector

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    pytest.importorskip("silero_vad", reason="needs the extra landmarks")
    return SpeechDetector()


def test_speech_between_silences_is_found(detector: SpeechDetector) -> None:
    silence = np.zeros(RATE_HZ, np.float32)
    spoken = synthesise("bin blue at f two now", Voice("en-us", 50, 50, 150)).samples
    audio = float_to_int16(np.concatenate([silence, spoken, silence]))
    spans = detector(audio)
    assert spans and spans == detector(audio)
    assert 0.7 * RATE_HZ < spans[0][0] < 1.4 * RATE_HZ
    assert len(audio) - 1.4 * RATE_HZ < spans[-1][1] < len(audio) - 0.6 * RATE_HZ


def test_no_speech_in_silence_and_in_a_tone(detector: SpeechDetector) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32) * 0.1
    assert detector(np.zeros(RATE_HZ, np.int16)) == detector(float_to_int16(tone)) == []


def test_threads_of_the_process_are_as_before() -> None:
    pytest.importorskip("silero_vad", reason="needs the extra landmarks")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        SpeechDetector()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
