"""Photographs and animations that Pillow decodes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from pipeline.core.errors import LipsmithError
from pipeline.media.errors import CorruptMediaError
from pipeline.media.file import MediaFile
from pipeline.media.picture_folder import open_pictures
from tests.support.grey_videos import SIZE, grey, levels
from tests.support.heic import write_heic
from tests.support.media_readers import display_of, read_frames

TILES = [grey(60, (128, 64)), grey(200, (128, 64))]


def write_webp(path: Path, images: list[np.ndarray], durations_ms: list[int], **settings: object) -> None:
    first, *others = [Image.fromarray(image[..., [2, 1, 0, *range(3, image.shape[2])]]) for image in images]
    first.save(path, save_all=True, append_images=others, duration=durations_ms, lossless=True, **settings)


def test_an_animated_webp_is_a_video_with_its_own_times(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    write_webp(path, [grey(10 * number) for number in range(4)], [40, 120, 40, 200])
    with open_pictures(path) as video:
        assert (video.fps, video.header.num_frames, video.header.has_audio) == (10, 4, False)
        assert (video.display.width, video.display.height) == SIZE
        own = list(video.frames())
        assert levels([frame.image for frame in own]) == [0, 1, 2, 3]
        assert [frame.time_s for frame in own] == [0, 0.04, 0.16, 0.2]
        assert levels([frame.image for frame in video.frames(25)]) == [0, 1, 1, 2, 2, 3, 3, 3, 3, 3]
        assert own[-1].end_s == 0.4
        assert video.notes == ()
        with pytest.raises(LipsmithError, match="no audio"):
            video.samples()


def test_times_too_short_are_those_of_browsers(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    write_webp(path, [grey(0), grey(10)], [5, 20])
    with MediaFile(path) as video:
        assert [frame.time_s for frame in video.frames()] == [0, 0.1]


def test_transparent_pixels_of_an_animated_webp_are_black(tmp_path: Path) -> None:
    image = np.dstack([grey(200), np.repeat(np.uint8([[0, 255]]), 32, axis=1).repeat(48, axis=0)])
    write_webp(tmp_path / "a.webp", [image, image // 2], [40, 40])
    with MediaFile(tmp_path / "a.webp") as media:
        first = next(media.frames()).image
        assert media.notes == ("its transparent pixels are shown on black",)
    np.testing.assert_array_equal(first[0, [0, 63], 0], [0, 200])


@pytest.mark.parametrize("num_tiles", [1, 2])
@pytest.mark.parametrize("turns", [0, 1, 2])
def test_a_heic_photograph_is_whole_and_upright(tmp_path: Path, num_tiles: int, turns: int) -> None:
    """FFmpeg alone shows the first of the tiles in which phones store photographs."""
    path = tmp_path / "p.heic"
    write_heic(path, TILES[:num_tiles], turns=turns)
    expected = np.rot90(np.concatenate(TILES[:num_tiles], axis=1), turns)
    (image,) = read_frames(path)
    assert image.shape == expected.shape
    np.testing.assert_allclose(image, expected, atol=4)
    shown = display_of(path)
    assert (shown.height, shown.width) == expected.shape[:2]


@pytest.mark.parametrize("brand", [b"mif1", b"heix"])
def test_a_heic_photograph_of_another_brand(tmp_path: Path, brand: bytes) -> None:
    write_heic(tmp_path / "p.jpg", TILES, brand=brand)
    assert read_frames(tmp_path / "p.jpg").shape == (1, 64, 256, 3)


def test_hdr_of_a_heic_photograph_is_converted(tmp_path: Path) -> None:
    write_heic(tmp_path / "p.heic", [grey(150, (128, 64))], transfer=16)
    with MediaFile(tmp_path / "p.heic") as media:
        next(media.frames())
        assert media.notes == ("its HDR (PQ) is converted to BT.709",)


def test_a_heic_whose_tiles_ffmpeg_reads_as_a_film_is_refused(tmp_path: Path) -> None:
    """A film in HEIF is left to FFmpeg, which decodes single tiles."""
    write_heic(tmp_path / "tiled.heic", TILES, brand=b"msf1")
    with MediaFile(tmp_path / "tiled.heic") as media, pytest.raises(CorruptMediaError, match="convert it to JPEG"):
        _ = media.header


def test_an_avif_photograph(tmp_path: Path) -> None:
    picture = np.concatenate(TILES, axis=1)
    turned = Image.Exif()
    turned[0x0112] = 6
    for exif, expected in ((Image.Exif(), picture), (turned, np.rot90(picture, -1))):
        Image.fromarray(picture).save(tmp_path / "p.avif", quality=95, exif=exif)
        (image,) = read_frames(tmp_path / "p.avif")
        assert image.shape == expected.shape
        np.testing.assert_allclose(image, expected, atol=8)


def test_a_colour_profile_is_applied(tmp_path: Path) -> None:
    """The primaries red and green of the profile are exchanged."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exchanged = srgb.replace(b"rXYZ", b"????", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"????", b"gXYZ", 1)
    red = np.full((48, 64, 3), (0, 0, 250), np.uint8)
    write_webp(tmp_path / "a.webp", [red, red // 2], [40, 40], icc_profile=exchanged)
    np.testing.assert_allclose(read_frames(tmp_path / "a.webp")[0, 0, 0], (0, 250, 0), atol=2)


@pytest.mark.parametrize(
    ("suffix", "named"), [("webp", "an animated WebP"), ("heic", "a HEIC photograph"), ("avif", "an AVIF photograph")]
)
def test_a_damaged_file_is_refused_with_its_format_and_a_remedy(tmp_path: Path, suffix: str, named: str) -> None:
    path = tmp_path / f"p.{suffix}"
    if suffix == "heic":
        write_heic(path, TILES)
    else:
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        picture = Image.fromarray(cv2.GaussianBlur(noise, (0, 0), 2))
        picture.save(path, save_all=suffix == "webp", append_images=[Image.fromarray(noise)])
    whole = path.read_bytes()
    for first in (40, 200):  # the description of the picture, and its data
        path.write_bytes(whole[:first] + bytes(len(whole) - first - 8) + whole[-8:])
        refusal = rf"p\.{suffix}: is {named} that cannot be decoded.*; convert it to "
        with MediaFile(path) as media, pytest.raises(CorruptMediaError, match=refusal) as caught:
            _ = media.header
        assert "object at" not in str(caught.value)
