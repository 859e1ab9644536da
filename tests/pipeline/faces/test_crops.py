from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.core.choices import CropGeometry
from pipeline.faces.crops import (
    BORDER_VALUE,
    Cropper,
    boxes_within,
    context_boxes,
    crop_boxes,
    crop_to_frame,
    sharpness,
)
from tests.support.media_readers import crop_frames

FACE = np.array([[100.0, 80.0, 50.0, 37.0, 50.0]])


def smooth_picture(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    wave = 127 + 60 * np.sin(x / 17) + 60 * np.cos(y / 23)
    return np.repeat(np.rint(wave)[..., None], 3, axis=2).astype(np.uint8)


def test_context_is_the_square_of_syncnet_python() -> None:
    # x in [cx - 1.4 bs, cx + 1.4 bs], y in [cy - bs, cy + 1.8 bs]
    assert context_boxes(FACE)[0] == pytest.approx([30, 30, 170, 170])


def test_the_face_crop_keeps_the_forehead_and_adds_room_below_the_chin() -> None:
    x0, y0, x1, y1 = crop_boxes(FACE, "square")[0]
    assert y0 == 30
    assert 130 < y1 < 140
    assert x1 - x0 == pytest.approx(y1 - y0)
    assert (x0 + x1) / 2 == pytest.approx(100)


def test_a_box_crop_shows_the_face_box_and_nothing_else() -> None:
    assert crop_boxes(FACE, "box")[0] == pytest.approx([63, 30, 137, 130])


def textured_picture(height: int, width: int) -> np.ndarray:
    """Noise with about as much detail as a photograph, in each of three scales."""
    noise = np.random.default_rng(0).normal(0, 1, (height, width, 3))
    scales = ((1.2, 12), (3, 30), (10, 70))
    waves = sum(level * scale * 1.5 * cv2.GaussianBlur(noise, (0, 0), scale) for scale, level in scales)
    return np.clip(127 + waves, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("width", "height"), [(35, 48), (72, 96), (80, 110), (144, 192), (200, 270)])
def test_a_box_crop_is_the_stretched_slice_of_wav2lips_training(width: int, height: int) -> None:
    """Wav2Lip stores the slice of the face box, in whole pixels, and reads it with a bilinear resize to 96x96.

    On average both agree within one grey level. Single pixels differ more: at the border, since a bilinear crop of the
    frame sees the pixels beside the box, and where the face is shrunk, since this project averages over the area of a
    pixel and a bilinear resize samples 2x2 pixels of it. Faces above 270 px differ by more than a grey level.
    """
    x, y = 31, 17
    frame = textured_picture(height + 80, width + 80)
    expected = cv2.resize(frame[y : y + height, x : x + width], (96, 96)).astype(int)
    face = np.array([[x + width / 2, y + height / 2, height / 2, width / 2, height / 2]])
    (crop,) = crop_frames(frame[None], crop_boxes(face, "box"), 96)
    assert np.abs(crop - expected).mean() < 1
    (other,) = crop_frames(frame[None], crop_boxes(face, "square"), 96)
    assert np.abs(other - expected).mean() > 10


@pytest.mark.parametrize("geometry", ["square", "box"])
@pytest.mark.parametrize("aspect", [0.5, 0.74, 1, 1.4])
def test_the_context_contains_the_crops_of_both_geometries(geometry: CropGeometry, aspect: float) -> None:
    half_width, half_height = 50 * min(1, aspect), 50 / max(1, aspect)
    face = np.array([[100.0, 80.0, 50.0, half_width, half_height]])
    place = boxes_within(crop_boxes(face, geometry), context_boxes(face), 160)[0]
    assert place.min() >= 0 and place.max() <= 160
    assert (place[2:] - place[:2]).max() >= 96  # so a crop from the context is no less sharp


def test_each_axis_of_a_box_is_sampled_as_densely_as_it_needs() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (72, 24, 3), dtype=np.uint8)
    (crop,) = crop_frames(frame[None], np.array([[0.0, 0.0, 24.0, 72.0]]), 24)
    blocks = frame.reshape(24, 3, 24, 3).mean(axis=1)
    assert np.abs(crop - blocks).max() <= 1


def test_a_box_in_context_pixels_points_at_the_same_place() -> None:
    outer, inner = context_boxes(FACE), crop_boxes(FACE, "square")
    assert boxes_within(outer, outer, 160)[0] == pytest.approx([0, 0, 160, 160])
    x0, y0, x1, y1 = boxes_within(inner, outer, 160)[0]
    assert 0 <= y0 < y1 <= 160
    assert 0 <= x0 < x1 <= 160
    frame = smooth_picture(240, 260)[None]
    context = crop_frames(frame, outer, 160)
    direct = crop_frames(frame, inner, 96).astype(int)
    through_context = crop_frames(context, np.array([[x0, y0, x1, y1]]), 96).astype(int)
    inside = np.s_[:, 2:]  # both squares start at the forehead: the first rows touch the context's border
    assert np.abs(direct - through_context)[inside].max() <= 3


def test_whole_pixel_boxes_copy_exactly() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    (crop,) = crop_frames(frame[None], np.array([[7.0, 3.0, 31.0, 27.0]]), 24)
    assert (crop == frame[3:27, 7:31]).all()


def test_shrinking_by_whole_factors_averages_areas() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    for factor in (2, 3):
        (crop,) = crop_frames(frame[None], np.array([[0.0, 0.0, 60.0, 60.0]]), 60 // factor)
        blocks = frame.reshape(60 // factor, factor, 60 // factor, factor, 3).mean(axis=(1, 3))
        assert np.abs(crop - blocks).max() <= 1


def test_a_box_that_moves_with_the_picture_gives_a_still_crop() -> None:
    y, x = np.mgrid[:300, :300]
    boxes, frames = [], []
    for shift in np.linspace(0, 2, 9):  # sub-pixel steps
        wave = 127 + 60 * np.sin((x - shift) / 17) + 60 * np.cos(y / 23)
        frames.append(np.repeat(wave[..., None], 3, axis=2).round().astype(np.uint8))
        boxes.append([60 + shift, 40, 220 + shift, 200])
    crops = crop_frames(np.stack(frames), np.array(boxes), 96).astype(float)
    assert crops.std(axis=0).max() < 0.8
    still_box = crop_frames(np.stack(frames), np.array(boxes)[:1].repeat(9, axis=0), 96).astype(float)
    assert still_box.std(axis=0).max() > 2


def test_fine_stripes_turn_grey_instead_of_aliasing() -> None:
    frame = np.zeros((200, 200, 3), np.uint8)
    frame[:, ::2] = 255
    (crop,) = crop_frames(frame[None], np.array([[2.3, 2.3, 195.3, 195.3]]), 96)
    # Point sampling would leave stripes of the full 255.
    assert np.ptp(crop.astype(int)) < 30


def test_outside_the_frame_is_grey() -> None:
    frame = np.zeros((50, 50, 3), np.uint8)
    (crop,) = crop_frames(frame[None], np.array([[-50.0, 0.0, 50.0, 100.0]]), 96)
    assert (crop[:47, :47] == BORDER_VALUE).all()
    assert (crop[:46, 50:] == 0).all()
    assert (crop[50:] == BORDER_VALUE).all()


def test_a_crop_of_a_crop_repeats_its_edge() -> None:
    frame = np.zeros((50, 50, 3), np.uint8)
    frame[:, 49] = 200
    crop = Cropper(np.array([[-50.0, 0.0, 100.0, 50.0]]), 96, of_crops=True)(frame, 0)
    assert (crop[:, :31] == 0).all() and (crop[:, 67:] == 200).all()


@pytest.mark.parametrize(("first", "second"), [("square", "box"), ("box", "square")])
def test_a_crop_of_the_context_is_about_as_sharp_as_one_of_the_frame(first: CropGeometry, second: CropGeometry) -> None:
    face = np.array([[150.0, 150.0, 70.0, 52.0, 70.0]])
    frame = textured_picture(300, 300)[None]
    outer, inner = context_boxes(face), crop_boxes(face, second)
    direct = crop_frames(frame, inner, 96)[0]
    context = crop_frames(frame, outer, 160)[0]
    again = Cropper(boxes_within(inner, outer, 160), 96, of_crops=True)(context, 0)
    assert 0.8 < sharpness(again) / sharpness(direct) < 1.15
    assert np.abs(again.astype(int) - direct).mean() < 4
    (other,) = crop_frames(frame, crop_boxes(face, first), 96)
    assert np.abs(other.astype(int) - direct).mean() > 20


def test_crop_coordinates_map_back_to_the_frame() -> None:
    matrix = crop_to_frame(np.array([10.0, 20.0, 106.0, 116.0]), 96, 96)
    assert matrix @ [0, 0, 1] == pytest.approx([10, 20])
    half = crop_to_frame(np.array([0.0, 0.0, 192.0, 192.0]), 96, 96)
    assert half @ [0, 0, 1] == pytest.approx([0.5, 0.5])  # the middle of pixels 0 and 1


def test_no_frames_give_no_crops() -> None:
    empty = crop_frames(np.empty((0, 4, 4, 3), np.uint8), np.empty((0, 4)), 96)
    assert empty.shape == (0, 96, 96, 3)
