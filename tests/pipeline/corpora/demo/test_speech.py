from __future__ import annotations

import numpy as np
import pytest

from pipeline.corpora.demo.portrait import make_look
from pipeline.corpora.demo.script import speak_clip, voice_of
from pipeline.corpora.demo.sentences import compose
from pipeline.corpora.demo.speech import Voice, synthesise
from pipeline.corpora.demo.visemes import mouth_track

VOICE = Voice("en-us+f2", pitch=50, pitch_range=50, rate=170)


def test_equal_arguments_give_equal_samples_after_other_speech() -> None:
    first = synthesise("maybe tomorrow", VOICE)
    synthesise("something else entirely", Voice("en+m3", 40, 60, 160))
    again = synthesise("maybe tomorrow", VOICE)
    np.testing.assert_array_equal(first.samples, again.samples)
    assert first.phones == again.phones


def test_phones_cover_the_speech_without_gaps() -> None:
    speech = synthesise("a brave pilot", VOICE)
    for left, right in zip(speech.phones[:-1], speech.phones[1:], strict=True):
        assert left.start_s < left.end_s == right.start_s
    assert speech.phones[-1].end_s == pytest.approx(speech.duration_s, abs=0.01)
    assert [c for p in speech.phones for c in p.ipa if c in "pb"] == ["b", "p"]


def test_an_unknown_voice_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="no voice 'xx-nowhere'"):
        synthesise("hello", Voice("xx-nowhere", 50, 50, 170))


@pytest.mark.parametrize("speaker", [0, 3, 11])
def test_a_clip_is_filled_with_speech_that_drives_the_mouth(speaker: int) -> None:
    speech, words = speak_clip(speaker, clip=4, num_samples=48000, seed=1234)
    assert len(speech.samples) == 48000 and len(words.split()) >= 5
    spoken = [phone for phone in speech.phones if phone.ipa]
    assert spoken[0].start_s < 0.2 and 2.6 < spoken[-1].end_s <= 3.0
    loudness = np.sqrt(np.mean(np.square(speech.samples.reshape(75, 640)), axis=1))
    gap = [shape.open * (1 - shape.seal) for shape in mouth_track(speech.phones, 75)]
    lags = [np.corrcoef(np.roll(gap, lag)[5:-5], loudness[5:-5])[0, 1] for lag in range(-4, 5)]
    assert max(lags) > 0.35 and abs(int(np.argmax(lags)) - 4) <= 1


def test_voices_differ_between_speakers_and_fit_their_faces() -> None:
    voices = [voice_of(speaker, 1234) for speaker in range(12)]
    assert len({voice.name for voice in voices}) == 12
    for speaker, voice in enumerate(voices):
        assert ("+f" in voice.name) == make_look(speaker, 1234).is_feminine


def test_sentences_vary() -> None:
    sentences = {compose(np.random.default_rng(i), 1) for i in range(200)}
    assert len(sentences) > 150
