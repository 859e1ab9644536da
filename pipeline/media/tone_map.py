"""Conversion of HDR (PQ, HLG) and of wide gamuts to BT.709, as one table of colours that FFmpeg applies.

Light is in multiples of the reference white of SDR, which HDR shows at 203 cd/m2 (ITU-R BT.2408).
"""

from __future__ import annotations

import tempfile
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.media.filter_graph import graph_for

Light = NDArray[np.float64]

PQ, HLG = 16, 18  # AVCOL_TRC_SMPTE2084, AVCOL_TRC_ARIB_STD_B67
HDR_NAMES = {PQ: "PQ", HLG: "HLG"}
_BT2020, _DISPLAY_P3 = 9, 12  # AVCOL_PRI
WIDE_GAMUT_NAMES = {_BT2020: "BT.2020", _DISPLAY_P3: "Display P3"}

WHITE_NITS = 203
PEAK_NITS = 1000
"""The brightest light that stays below white in the result; HLG displays are defined by it, PQ is graded for it."""
KNEE = 0.8
"""Light up to this value is kept; between it and the peak it is compressed."""
SDR_GAMMA = 2.4  # ITU-R BT.1886
_STEPS = 33
_TO_BT709 = {  # linear light; ITU-R BT.2087, SMPTE EG 432-1
    _BT2020: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    _DISPLAY_P3: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
}


def needs_mapping(transfer: int, primaries: int) -> bool:
    """Whether pictures with these codes (ITU-T H.273) differ visibly from BT.709."""
    return transfer in HDR_NAMES or primaries in WIDE_GAMUT_NAMES


def to_bt709(signal: Light, transfer: int, primaries: int) -> Light:
    """R, G, B in [0, 1] of BT.709 for R, G, B in [0, 1]: float64 [..., 3]. HDR without known primaries is BT.2020."""
    primaries = primaries if primaries in _TO_BT709 else _BT2020
    light = _light_of(signal, transfer) @ np.array(_TO_BT709[primaries]).T
    if transfer in HDR_NAMES:
        brightest = np.maximum(light.max(axis=-1, keepdims=True), 1e-9)
        light = light * _compressed(brightest) / brightest
    return np.clip(light, 0, 1) ** (1 / SDR_GAMMA)


def _light_of(signal: Light, transfer: int) -> Light:
    if transfer == PQ:  # SMPTE ST 2084
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        powered = signal ** (1 / m2)
        return (np.maximum(powered - c1, 0) / (c2 - c3 * powered)) ** (1 / m1) * 10_000 / WHITE_NITS
    if transfer == HLG:  # ITU-R BT.2100
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
        luminance = scene @ np.array([0.2627, 0.6780, 0.0593])
        return scene * luminance[..., None] ** 0.2 * PEAK_NITS / WHITE_NITS
    return signal**SDR_GAMMA


def _compressed(light: Light) -> Light:
    """Möbius curve with slope 1 at the knee, which takes the peak to white."""
    peak, knee = PEAK_NITS / WHITE_NITS, KNEE
    a = -(knee**2) * (peak - 1) / (knee**2 - 2 * knee + peak)
    b = (knee**2 - 2 * knee * peak + peak) / (peak - 1)
    return np.where(light <= knee, light, (b**2 + 2 * b * knee + knee**2) / (b - a) * (light + a) / (light + b))


@lru_cache(maxsize=4)
def _table(transfer: int, primaries: int) -> str:
    """Content of a .cube file: the result for a grid of signals, red changing first."""
    steps = np.linspace(0, 1, _STEPS)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    colours = to_bt709(np.stack([red, green, blue], axis=-1).reshape(-1, 3), transfer, primaries)
    return f"LUT_3D_SIZE {_STEPS}\n" + "\n".join("{:.6f} {:.6f} {:.6f}".format(*colour) for colour in colours) + "\n"


class ToneMapper:
    """Applies the table to frames of one size in FFmpeg's format ``FORMAT``."""

    FORMAT = "gbrp16le"

    def __init__(self, first: Any, transfer: int, primaries: int) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".cube") as table:  # FFmpeg reads it when the filter is made
            table.write(_table(transfer, primaries))
            table.flush()
            self._graph = graph_for(first, "lut3d", file=table.name, interp="tetrahedral")

    def __call__(self, frame: Any) -> Any:
        self._graph.push(frame)
        return self._graph.pull()
