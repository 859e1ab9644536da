"""Display matrices and EXIF orientations, mirrored ones too."""

from __future__ import annotations

import gc
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.media.file import MediaFile
from pipeline.media.orientation import Orientation
from tests.support.media_readers import display_of, iter_frames

WIDTH, HEIGHT = 64, 48
UPRIGHT = np.array([[0, 80], [160, 240]])
"""Grey of the picture's quarters."""
STORED_AS = {  # EXIF 2.32, tag 274: what turns the upright picture into the stored one
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.T,
    6: lambda image: np.rot90(image),
    7: lambda image: image[::-1, ::-1].T,
    8: lambda image: np.rot90(image, -1),
}
MATRICES = {1: "1 0 0 1", 2: "-1 0 0 1", 3: "-1 0 0 -1", 4: "1 0 0 -1", 5: "0 1 1 0", 6: "0 1 -1 0", 7: "0 -1 -1 0"}
"""The same orientations as a b c d of a display matrix (ISO 14496-12): x' = a x + c y, y' = b x + d y."""


def stored(number: int) -> av.VideoFrame:
    grey = STORED_AS[number](np.kron(UPRIGHT, np.ones((HEIGHT // 2, WIDTH // 2)))).astype(np.uint8)
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(np.repeat(grey[..., None], 3, axis=2)), format="bgr24")


def quarters(path: Path) -> np.ndarray:
    image = next(iter_frames(path)).image.astype(float).mean(axis=2)
    assert image.shape == (HEIGHT, WIDTH)
    half = (HEIGHT // 2, WIDTH // 2)
    return image.reshape(2, half[0], 2, half[1]).mean(axis=(1, 3))


@pytest.mark.parametrize("number", STORED_AS)
def test_a_photograph_is_read_as_its_exif_orientation_says(tmp_path: Path, number: int) -> None:
    frame = stored(number)
    encoder = av.codec.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "yuvj420p"
    encoder.options = {"huffman": "default"}
    encoder.time_base = Fraction(1, 25)
    (packet,) = encoder.encode(frame.reformat(format="yuvj420p", dst_color_range="JPEG"))
    tag = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + struct.pack(">HHI", number, 0, 0)
    content = bytes(packet)
    exif = b"\xff\xe1" + struct.pack(">H", len(tag) + 2) + tag
    (tmp_path / "face.jpg").write_bytes(content[:2] + exif + content[2:])
    np.testing.assert_allclose(quarters(tmp_path / "face.jpg"), UPRIGHT, atol=6)
    assert (display_of(tmp_path / "face.jpg").width, display_of(tmp_path / "face.jpg").height) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("number", MATRICES)
def test_a_video_is_read_as_its_display_matrix_says(tmp_path: Path, number: int) -> None:
    frame, path = stored(number), tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40  # ISO 14496-12, version 0
    a, b, c, d = (int(value) << 16 for value in MATRICES[number].split())
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    np.testing.assert_allclose(quarters(path), UPRIGHT, atol=6)
    assert (display_of(path).width, display_of(path).height) == (WIDTH, HEIGHT)


def test_an_upright_picture_is_not_copied() -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    assert np.shares_memory(Orientation().apply(image), image)


@pytest.mark.parametrize("rotation", [0, 90])
def test_the_pixels_of_a_frame_are_freed_with_it(tmp_path: Path, rotation: int) -> None:
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.set_display_rotation(rotation)
        for _ in range(20):
            container.mux(stream.encode(stored(1)))
        container.mux(stream.encode(None))
    gc.collect()
    gc.disable()  # a reference cycle would stay
    try:
        with MediaFile(path) as media:
            assert sum(1 for _ in media.stored_frames()) == 20
            num_alive = sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())
    finally:
        gc.enable()
    assert num_alive < 5
