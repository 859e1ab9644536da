"""Pictures whose planes are kept: parts in BGR, changed parts, and what is written."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from pipeline.media.colour import BgrConverter
from pipeline.media.file import MediaFile
from pipeline.media.picture import YuvPicture, part_of, reduced_to, to_bgr, with_part
from pipeline.media.writer import VideoWriter
from tests.support.stored_pictures import HEIGHT, WIDTH, smooth, stored

WINDOW = slice(24, 72), slice(40, 104)


@pytest.mark.parametrize(("space", "matrix"), [(1, 1), (2, 6), (5, 5), (6, 6)])
@pytest.mark.parametrize("span", [0, 1])
def test_the_colours_are_those_of_the_whole_conversion(space: int, matrix: int, span: int) -> None:
    picture = stored(smooth(space=space, span=span))
    assert picture.convert.matrix == matrix
    whole = BgrConverter(Fraction(1), print)(smooth(space=space, span=span))
    np.testing.assert_array_equal(to_bgr(picture), whole)
    inner = slice(2, -2), slice(2, -2)  # at its border a part does not have the colour beside it
    np.testing.assert_array_equal(part_of(picture, WINDOW)[inner], whole[WINDOW][inner])


@pytest.mark.parametrize(
    "frame",
    [
        smooth("yuvj420p", span=2),
        smooth(span=2),
        smooth("yuv422p"),
        smooth("yuv420p10le"),
        smooth(space=9),
        smooth(size=(127, 96)),
        smooth(size=(128, 95)),
    ],
)
def test_other_pictures_are_bgr(frame: av.VideoFrame) -> None:
    convert = BgrConverter(Fraction(1), print)
    np.testing.assert_array_equal(convert.stored(frame), convert(frame))


def test_a_changed_part_leaves_everything_else_as_it_is_stored() -> None:
    picture = stored(smooth())
    before = part_of(picture, WINDOW)
    after = before.copy()
    after[10:30, 20:50] = (200, 60, 90)
    changed = with_part(picture, WINDOW, before, after)
    assert isinstance(changed, YuvPicture)
    luma = np.zeros((HEIGHT, WIDTH), bool)
    luma[34:54, 60:90] = True
    colour = luma[::2, ::2].reshape(-1, WIDTH)
    is_changed = np.concatenate([luma, colour, colour])
    np.testing.assert_array_equal(changed.planes[~is_changed], picture.planes[~is_changed])
    assert np.abs(part_of(changed, WINDOW)[14:26, 24:46].astype(int) - (200, 60, 90)).max() <= 3
    np.testing.assert_array_equal(picture.planes, stored(smooth()).planes)
    np.testing.assert_array_equal(with_part(picture, WINDOW, before, before).planes, picture.planes)  # type: ignore[union-attr]
    image = to_bgr(picture)
    pasted = with_part(image, WINDOW, image[WINDOW], after)
    np.testing.assert_array_equal(pasted[WINDOW], after)  # type: ignore[index]


def test_a_reduced_picture_shows_the_means_of_areas() -> None:
    picture = stored(smooth())
    whole = to_bgr(picture)
    assert reduced_to(whole, 32) is whole  # a detector shrinks it
    np.testing.assert_array_equal(reduced_to(picture, 128), whole)
    for max_px, size in ((64, (64, 48)), (50, (50, 38))):
        expected = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
        assert np.abs(reduced_to(picture, max_px).astype(int) - expected).max() <= 8


@pytest.mark.parametrize("space", [1, 6])
def test_planes_are_written_as_they_are(tmp_path: Path, space: int) -> None:
    picture = stored(smooth(space=space))
    with VideoWriter(tmp_path / "v.mp4", 25, (WIDTH, HEIGHT), crf=0) as writer:
        for image in (picture, to_bgr(picture), stored(smooth(space=7 - space))):
            writer.write(image)
    with av.open(str(tmp_path / "v.mp4")) as container:
        frames = list(container.decode(video=0))
    assert [frame.colorspace for frame in frames] == [space] * 3
    np.testing.assert_array_equal(frames[0].to_ndarray(), picture.planes)
    with MediaFile(tmp_path / "v.mp4") as media:
        images = [timed.image.astype(int) for timed in media.frames()]
    assert np.abs(images[1] - to_bgr(picture)).max() <= 8
    assert np.abs(images[2] - to_bgr(stored(smooth(space=7 - space)))).max() <= 8


def test_a_writer_refuses_a_picture_of_another_size(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="a frame must be uint8"),
        VideoWriter(tmp_path / "v.mp4", 25, (64, 48)) as writer,
    ):
        writer.write(stored(smooth()))
