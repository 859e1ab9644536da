"""Detail returns where the mouth is as in the source, and not from another mouth; it is steady in time."""

from __future__ import annotations

import itertools
from fractions import Fraction

import cv2
import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.dubbing.detail import MAX_GAIN, MouthDetail, structure_agreement
from pipeline.dubbing.dub import regenerate
from pipeline.dubbing.options import DubOptions
from pipeline.dubbing.paste import mouth_area, paste_mouth
from pipeline.dubbing.timing import OutputTiming
from pipeline.faces.crops import Cropper, sharpness
from pipeline.faces.roll import rotated
from pipeline.inference.generator_inputs import ExtractedAudio
from tests.support.drawn_face import draw_face
from tests.support.dub_runs import Draw, followed, run

SIZE_PX = 320
BOX = np.array([40.3, 30.2, 281.0, 290.6])
PLAIN = np.zeros(3, np.float32)
MOUTH = np.s_[190:270, 100:220]
TEXTURE = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 18, (SIZE_PX, SIZE_PX, 1)), (0, 0), 0.8)[..., None]


def face(lips_px: float = 0.0, strength: float = 1.0) -> np.ndarray:
    """A drawn face with skin texture and a mouth that is open by ``lips_px``: uint8 [320, 320, 3]."""
    image = draw_face(SIZE_PX / 2, SIZE_PX / 2, half=110, size=SIZE_PX).astype(np.float32)
    cv2.ellipse(image, (160, 217), (26, round(9 + lips_px)), 0, 0, 360, (20, 10, 30), -1, cv2.LINE_AA)
    return np.clip(image + strength * TEXTURE, 0, 255).astype(np.uint8)


def crop_of(frame: np.ndarray, roll: float = 0.0) -> np.ndarray:
    return Cropper(BOX[None], 96, rolls=np.array([roll]))(frame, 0)


def dubbed(frame: np.ndarray, mouth: np.ndarray, strength: float, roll: float = 0.0) -> np.ndarray:
    detail = MouthDetail(strength, 25.0)(crop_of(frame, roll), mouth, True)
    return paste_mouth(frame, mouth, BOX, PLAIN, roll, detail)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.square(one[MOUTH].astype(float) - other[MOUTH]).mean())


@pytest.mark.parametrize("roll", [0.0, 25.0])
def test_an_unchanged_mouth_is_as_sharp_as_the_source(roll):
    frame = face()
    mouth = crop_of(frame, roll)
    blurred, half, whole = (dubbed(frame, mouth, strength, roll) for strength in (0.0, 0.5, 1.0))
    ratios = [sharpness(image[MOUTH]) / sharpness(frame[MOUTH]) for image in (blurred, half, whole)]
    assert ratios[0] < 0.4 and ratios[0] < ratios[1] < ratios[2]
    assert ratios[2] == pytest.approx(1, abs=0.1)
    assert distance(whole, frame) < distance(half, frame) < distance(blurred, frame)


def test_no_detail_is_the_paste_as_it_was():
    frame, mouth = face(), crop_of(face(12))
    np.testing.assert_array_equal(dubbed(frame, mouth, 0.0), paste_mouth(frame, mouth, BOX, PLAIN))


def test_the_sources_lips_do_not_show_through_another_mouth():
    """The source's mouth is nearly closed, with sharp borders; the generated one is open. The result is the latter."""
    source, wanted = face(0, strength=0), face(16, strength=0)
    mouth = crop_of(wanted)
    plain, whole = (dubbed(source, mouth, strength) for strength in (0.0, 1.0))
    assert distance(whole, wanted) <= distance(plain, wanted)
    assert sharpness(whole[MOUTH]) > sharpness(plain[MOUTH])


def test_the_agreement_is_of_structures_and_not_of_shading_or_slight_blur():
    crop = crop_of(face(strength=0.3))
    shading = np.linspace(-25, 25, 96)[None, :, None]
    alike = cv2.GaussianBlur(np.clip(crop + shading, 0, 255).astype(np.uint8), (0, 0), 0.5)
    assert structure_agreement(crop, alike)[48:].mean() > 0.95
    np.testing.assert_array_equal(structure_agreement(crop, crop), np.ones((96, 96)))
    other = structure_agreement(crop, crop_of(face(16, strength=0.3)))
    assert other[64:80, 40:56].max() < 0.1 and other.min() >= 0 and other.max() <= 1


def test_the_sources_detail_disappears_at_once_and_returns_gradually():
    frame = face()
    same, other = crop_of(frame), crop_of(face(16))
    detail = MouthDetail(1.0, 25.0)
    results = [
        paste_mouth(frame, same, BOX, PLAIN, 0.0, detail(same, mouth, k == 0))
        for k, mouth in enumerate([same, other, *[same] * 12])
    ]
    away = [distance(image, frame) for image in results]
    assert away[1] > 5 * away[0]
    assert all(later <= earlier for earlier, later in itertools.pairwise(away[1:]))
    assert away[2] > 3 * away[0] and away[-1] < 2 * away[0]


def test_a_cut_begins_anew():
    frame = face()
    same, other = crop_of(frame), crop_of(face(16))
    detail = MouthDetail(1.0, 25.0)
    detail(same, other, True)
    after = paste_mouth(frame, same, BOX, PLAIN, 0.0, detail(same, same, True))
    np.testing.assert_array_equal(after, dubbed(frame, same, 1.0))


def test_amplification_is_limited_and_an_even_colour_stays_even():
    """The source shows another structure everywhere, so the result has none of its detail."""
    frame = face()
    blots = np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8)
    blots = cv2.resize(blots, (96, 96), interpolation=cv2.INTER_CUBIC)
    area = mouth_area(BOX, 0.0, SIZE_PX, SIZE_PX)
    patch = area.sample(np.full((96, 96, 3), 120, np.uint8))
    patch[60:, 100:140] += 4
    refined = MouthDetail(1.0, 25.0)(blots, np.full((96, 96, 3), 120, np.uint8), True)(patch, frame[area.window], area)
    even, edge = np.s_[80:, :60], np.s_[60:100, 90:150]
    assert np.abs(refined[even] - 120).max() < 0.1
    assert 0.5 < np.abs(refined - patch)[edge].max() <= (MAX_GAIN - 1) * 4


@pytest.mark.parametrize("roll", [0.0, 33.0])
def test_only_the_lower_half_of_the_box_changes(roll):
    frame = face()
    changed = (dubbed(frame, crop_of(face(16), roll), 1.0, roll) != frame).any(axis=2)
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX] + 0.5
    upright = rotated(np.stack([x, y], axis=-1), (BOX[:2] + BOX[2:]) / 2, -roll)
    inside = (upright[..., 1] > BOX[1::2].mean()) & (upright[..., 1] < BOX[3]) & (abs(upright[..., 0] - 160.65) < 120.4)
    assert changed.any() and not changed[~inside].any()


@pytest.mark.parametrize("box", [[-60.0, 100, 160, 330], [200.0, 200, 420, 420], [500.0, 0, 600, 100]])
def test_a_face_that_leaves_the_frame(box):
    frame, box = face(), np.array(box)
    mouth = Cropper(box[None], 96)(frame, 0)
    detail = MouthDetail(1.0, 25.0)(mouth, mouth, True)
    assert paste_mouth(frame, mouth, box, PLAIN, 0.0, detail).shape == frame.shape


def test_a_dub_passes_its_detail_on_in_any_batch():
    frames = [face(k) for k in (0, 2, 5, 3)]

    @Draw
    def copy(crops, windows, references):
        return crops

    def made(batch_frames, detail):
        boxes, timing = np.tile(BOX, (4, 1)), OutputTiming(Fraction(25), 4)
        voice = ExtractedAudio.silent(16_000)
        stream = regenerate(enumerate(frames), followed(boxes), voice, timing, copy, batch_frames, detail=detail)
        return np.stack([frame for _, frame in stream])

    np.testing.assert_array_equal(made(4, 1.0), made(1, 1.0))
    ratios = [sharpness(made(4, detail)[2][MOUTH]) / sharpness(frames[2][MOUTH]) for detail in (0.0, 1.0)]
    assert ratios[0] < 0.4 < 0.85 < ratios[1]


@pytest.mark.parametrize("detail", [-0.1, 1.5, float("nan")])
def test_a_detail_that_is_not_allowed(make_video, make_sound, tmp_path, detail):
    options: DubOptions = {"detail": detail}
    with pytest.raises(UserError, match=r"detail is .*; allowed: 0 to 1"):
        run(make_video(2), make_sound(0.1), tmp_path / "out.mp4", **options)
    assert not (tmp_path / "out.mp4").exists()
