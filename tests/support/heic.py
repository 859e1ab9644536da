"""HEIC photographs, whole or of tiles as phones write them (ISO 23008-12)."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray


def _box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


def _full(kind: bytes, *content: bytes, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", flags), *content)


def _coded(image: NDArray[np.uint8]) -> tuple[bytes, bytes]:
    """The image's configuration box (ISO 14496-15) and its HEVC data."""
    encoder: Any = av.codec.CodecContext.create("libx265", "w")
    encoder.height, encoder.width = image.shape[:2]
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 25)
    encoder.options = {"x265-params": "log-level=none", "crf": "10"}
    frame = av.VideoFrame.from_ndarray(image, format="bgr24")
    stream = b"".join(bytes(packet) for given in (frame, None) for packet in encoder.encode(given))
    units = [unit.rstrip(b"\0") for unit in stream.split(b"\0\0\1")[1:]]
    sets: dict[int, bytes] = {unit[0] >> 1: unit for unit in units if unit[0] >> 1 in (32, 33, 34)}
    arrays = b"".join(struct.pack(">BHH", 0x80 | kind, 1, len(unit)) + unit for kind, unit in sorted(sets.items()))
    head = bytes([1, 1, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 30, 0xF0, 0, 0xFC, 0xFD, 0xF8, 0xF8, 0, 0, 0x0F, len(sets)])
    data = [struct.pack(">I", len(unit)) + unit for unit in units if unit[0] >> 1 < 32]
    return _box(b"hvcC", head, arrays), b"".join(data)


def write_heic(
    path: Path, tiles: list[NDArray[np.uint8]], *, turns: int = 0, transfer: int = 1, brand: bytes = b"heic"
) -> None:
    """Write tiles ``uint8 [H, W, 3]`` of one size side by side; a single one is stored without a grid.

    ``turns``: quarter turns to the left that a reader has to make. ``transfer``: code of the curve (ITU-T H.273).
    """
    height, width = tiles[0].shape[:2]
    coded = [_coded(tile) for tile in tiles]
    items = [data for _, data in coded]
    kinds = [b"hvc1"] * len(items)
    is_grid = len(tiles) > 1
    if is_grid:
        items.append(struct.pack(">4B2H", 0, 0, 0, len(tiles) - 1, width * len(tiles), height))
        kinds.append(b"grid")
    shapes = [_full(b"ispe", struct.pack(">2I", width, height))]
    shapes += [_full(b"ispe", struct.pack(">2I", width * len(tiles), height))] * is_grid
    primaries = 9 if transfer in (16, 18) else 1
    shapes += [_box(b"irot", bytes([turns])), _box(b"colr", b"nclx", struct.pack(">3HB", primaries, transfer, 1, 0))]
    last = [0x80 | len(shapes), 1 + len(shapes)]
    uses = []
    for number in range(1, len(items) + 1):
        is_tile = number <= len(tiles)
        own = ([0x81, 2] if is_tile else [3]) + (last if number == len(items) else [1 + len(shapes)])
        uses.append(struct.pack(f">HB{len(own)}B", number, len(own), *own))
    dimg = struct.pack(f">2H{len(tiles)}H", len(items), len(tiles), *range(1, len(tiles) + 1))

    def meta(first: int) -> bytes:
        places, position = [], first
        for number, data in enumerate(items, 1):
            places.append(struct.pack(">3H2I", number, 0, 1, position, len(data)))
            position += len(data)
        entries = [
            _full(b"infe", struct.pack(">2H", number, 0), kind, b"\0", flags=2 << 24)
            for number, kind in enumerate(kinds, 1)
        ]
        return _full(
            b"meta",
            _full(b"hdlr", bytes(4), b"pict", bytes(13)),
            _full(b"pitm", struct.pack(">H", len(items))),
            _full(b"iloc", b"\x44\0", struct.pack(">H", len(items)), *places),
            _full(b"iinf", struct.pack(">H", len(entries)), *entries),
            *([_full(b"iref", _box(b"dimg", dimg))] * is_grid),
            _box(
                b"iprp",
                _box(b"ipco", coded[0][0], *shapes),
                _full(b"ipma", struct.pack(">I", len(items)), *uses),
            ),
        )

    head = _box(b"ftyp", brand, bytes(4), b"mif1heic")
    first = len(head) + len(meta(0)) + 8
    path.write_bytes(head + meta(first) + _box(b"mdat", *items))
