"""Frames as concatenated JPEG files, as shards store them. Each frame can be decoded separately."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import DataError

FrameStack = NDArray[np.uint8]


def encode_mjpeg(frames: Iterable[FrameStack], quality: int = 95) -> tuple[bytes, list[int]]:
    """Encode ``uint8 [H, W, 3]`` BGR frames; returns the bytes and each frame's number of bytes.

    Raises ValueError for a quality outside 1..100 or a frame of another dtype or shape.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"quality {quality} is outside 1..100 (params.yaml: preprocess.jpeg_quality)")
    pieces: list[bytes] = []
    for frame in frames:
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"a frame must be uint8 [H, W, 3], got {frame.dtype} {frame.shape}")
        is_encoded, jpeg = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if not is_encoded:
            raise ValueError(f"a frame of shape {frame.shape} cannot be encoded as JPEG")
        pieces.append(jpeg.tobytes())
    return b"".join(pieces), [len(piece) for piece in pieces]


def decode_mjpeg(
    content: bytes, sizes: Sequence[int], indices: Sequence[int] | NDArray[np.integer[Any]] | None = None
) -> FrameStack:
    """Decode the frames at ``indices`` (all by default) to ``uint8 [k, H, W, 3]`` BGR.

    Raises IndexError for an index outside 0..len(sizes)-1, ValueError if no frame is selected, DataError if a frame is
    not a JPEG image or the frames differ in size.
    """
    ends = np.cumsum(np.asarray(sizes, dtype=np.int64))
    chosen = range(len(sizes)) if indices is None else indices
    if len(chosen) == 0:
        raise ValueError("no frame to decode: indices or sizes are empty")
    buffer = np.frombuffer(content, np.uint8)
    decoded: FrameStack | None = None
    for row, index in enumerate(chosen):
        if not 0 <= index < len(sizes):
            raise IndexError(f"frame {index} is outside 0..{len(sizes) - 1}")
        jpeg = buffer[ends[index] - sizes[index] : ends[index]]
        image = cv2.imdecode(jpeg, cv2.IMREAD_COLOR) if len(jpeg) else None
        if image is None:
            raise DataError(f"frame {index} ({len(jpeg)} bytes) is not a JPEG image")
        if decoded is None:
            decoded = np.empty((len(chosen), *image.shape), np.uint8)
        if image.shape != decoded.shape[1:]:
            raise DataError(f"frame {index} is {image.shape}, others are {decoded.shape[1:]}")
        decoded[row] = image
    assert decoded is not None
    return decoded
