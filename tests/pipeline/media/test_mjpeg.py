"""Frames as JPEG, and the ways in which such a file can be bad."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.media.mjpeg import decode_mjpeg, encode_mjpeg


def smooth_frames(num: int, side: int = 32) -> np.ndarray:
    y, x = np.mgrid[0:side, 0:side]
    return np.stack(
        [np.stack([x * 3 + k, y * 3, (x + y) * 2], axis=-1).astype(np.uint8) for k in range(0, 10 * num, 10)]
    )


def test_frames_survive_jpeg_in_any_order() -> None:
    frames = smooth_frames(6)
    content, sizes = encode_mjpeg(frames, quality=95)
    assert sum(sizes) == len(content)
    assert len(sizes) == 6
    decoded = decode_mjpeg(content, sizes)
    assert decoded.shape == frames.shape
    assert np.abs(decoded.astype(int) - frames).mean() < 2
    np.testing.assert_array_equal(decode_mjpeg(content, sizes, [5, 0, 0]), decoded[[5, 0, 0]])
    np.testing.assert_array_equal(decode_mjpeg(content, sizes, np.array([2, 3])), decoded[2:4])


def test_quality_changes_the_size() -> None:
    frames = smooth_frames(2)
    assert len(encode_mjpeg(frames, 95)[0]) > len(encode_mjpeg(frames, 30)[0])
    with pytest.raises(ValueError, match=r"1\.\.100"):
        encode_mjpeg(frames, 0)


def test_bad_jpeg_and_bad_indices_are_named() -> None:
    content, sizes = encode_mjpeg(smooth_frames(3))
    with pytest.raises(IndexError, match="frame 3"):
        decode_mjpeg(content, sizes, [3])
    with pytest.raises(IndexError, match="frame -1"):
        decode_mjpeg(content, sizes, [-1])
    with pytest.raises(DataError, match="frame 1"):
        decode_mjpeg(content[: sizes[0]] + bytes(sizes[1]) + content[-sizes[2] :], sizes)
    with pytest.raises(ValueError, match="no frame"):
        decode_mjpeg(content, sizes, [])
