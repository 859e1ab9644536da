# ruff: noqa: RUF001  (IPA letters)
from __future__ import annotations

import numpy as np
import pytest

from pipeline.corpora.demo.speech import Phone
from pipeline.corpora.demo.visemes import closures_of, gestures_of, mouth_track


def phones_of(*names: str, start: float = 0.2, each: float = 0.09) -> list[Phone]:
    return [Phone(name, start + i * each, start + (i + 1) * each) for i, name in enumerate(names)]


@pytest.mark.parametrize("consonant", ["p", "b", "m"])
@pytest.mark.parametrize("shift", [0.0, 0.01, 0.02, 0.03])
@pytest.mark.parametrize("each", [0.03, 0.06, 0.12])
def test_lips_seal_at_some_frame_of_every_bilabial(consonant: str, shift: float, each: float) -> None:
    phones = phones_of("ˈɑː", consonant, "ˈɑː", start=0.4 + shift, each=each)
    track = mouth_track(phones, num_frames=30)
    ((start, end),) = closures_of(phones)
    inside = [f for f in range(30) if start <= (f + 0.5) / 25 <= end]
    assert inside and all(track[f].seal == 1.0 for f in inside)


def test_lips_never_seal_without_a_bilabial() -> None:
    track = mouth_track(phones_of("h", "ɛ", "l", "ˈəʊ", "f", "ɑː", "ð", "ə"), num_frames=30)
    assert max(shape.seal for shape in track) == 0.0


def test_a_voiceless_stop_closes_before_its_burst() -> None:
    ((start, end),) = closures_of([Phone("p", 1.0, 1.04)])
    assert start < 0.96 and end < 1.02
    ((start, end),) = closures_of([Phone("m", 1.0, 1.08)])
    assert start == 1.0 and 1.06 < end <= 1.08


def at_peak(vowel: str, control: str) -> float:
    track = mouth_track(phones_of("t", f"ˈ{vowel}", "t", start=0.3, each=0.2), num_frames=30)
    values = [getattr(shape, control) for shape in track[13:16]]
    return float(np.mean(values))


def test_vowels_differ_in_opening_width_and_jaw() -> None:
    assert at_peak("ɑː", "open") > 0.85 > at_peak("ɛ", "open") > at_peak("iː", "open") + 0.15
    assert at_peak("uː", "width") < -0.7 and at_peak("iː", "width") > 0.6
    assert at_peak("ɑː", "jaw") > at_peak("uː", "jaw") + 0.4


def test_rounding_starts_before_the_rounded_vowel() -> None:
    phones = phones_of("ə", "t", "ˈuː", start=0.4, each=0.1)  # uː from 0.6 s
    track = mouth_track(phones, num_frames=30)
    assert track[14].width < track[11].width - 0.2  # 0.58 s, still t, against 0.46 s


def test_lower_lip_meets_the_teeth_on_f_and_the_tongue_shows_on_th() -> None:
    assert max(s.tuck for s in mouth_track(phones_of("ə", "f", "ə", start=0.4), 30)) == 1.0
    assert max(s.tongue for s in mouth_track(phones_of("ə", "θ", "ə", start=0.4), 30)) > 0.7
    assert max(s.teeth for s in mouth_track(phones_of("ə", "s", "ə", start=0.4), 30)) > 0.7


def test_the_mouth_closes_after_the_last_phone() -> None:
    track = mouth_track(phones_of("ˈɑː", start=0.2), num_frames=50)
    assert all(shape.open < 0.06 for shape in track[20:])


def test_controls_stay_in_range_and_the_jaw_moves_at_most_half_way_per_frame() -> None:
    names = ["p", "ɑː", "m", "uː", "b", "iː", "f", "ɔɪ", "w", "ɑː", "ʃ", "aɪə", "θ", "", "k", "?"]
    track = mouth_track(phones_of(*names, each=0.07), num_frames=40)
    for name in ("open", "jaw", "seal", "tuck", "teeth", "tongue", "width"):
        values = np.array([getattr(shape, name) for shape in track])
        assert values.max() <= 1.0 and values.min() >= (-1.0 if name == "width" else 0.0)
    jaw = np.array([shape.jaw for shape in track])
    assert np.abs(np.diff(jaw)).max() < 0.5


def test_diphthongs_and_affricates_become_gestures_in_order() -> None:
    gestures = gestures_of([Phone("ˈaɪ", 0.0, 0.2), Phone("tʃ", 0.25, 0.35)])
    assert [g.symbol for g in gestures] == ["a", "ɪ", "ʧ"]
    assert gestures[0].stress == "ˈ" and gestures[0].end_s == gestures[1].start_s > 0.1
    assert gestures[2].start_s < 0.25 and gestures[1].end_s == gestures[2].start_s
