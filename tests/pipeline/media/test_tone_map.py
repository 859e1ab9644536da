"""HDR and wide gamuts become BT.709: known colours, and what is written and read again."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.media.file import MediaFile
from pipeline.media.tone_map import HLG, PEAK_NITS, PQ, SDR_GAMMA, WHITE_NITS, to_bt709

BT2020, BT709, SDR = 9, 1, 1
PQ_WHITE, HLG_WHITE = 0.5807, 0.75  # the signals of 203 cd/m2, ITU-R BT.2408


def grey(signal: float) -> np.ndarray:
    return np.full(3, signal)


@pytest.mark.parametrize(("transfer", "white"), [(PQ, PQ_WHITE), (HLG, HLG_WHITE)])
def test_the_brightest_light_is_white_and_grey_stays_grey(transfer: int, white: float) -> None:
    peak = {PQ: 0.7518, HLG: 1.0}[transfer]  # of 1000 cd/m2
    np.testing.assert_allclose(to_bt709(grey(peak), transfer, BT2020), 1, atol=2e-3)
    assert (to_bt709(grey(white), transfer, BT2020) > 0.92).all()
    np.testing.assert_array_equal(to_bt709(grey(0), transfer, BT2020), 0)
    rising = to_bt709(np.linspace(0, 1, 200)[:, None].repeat(3, axis=1), transfer, BT2020)
    assert (np.diff(rising[:, 0]) >= 0).all()
    assert np.ptp(rising, axis=1).max() < 1e-3


def test_light_below_the_knee_is_kept() -> None:
    """50 cd/m2 in PQ is the signal 0.4401 (SMPTE ST 2084)."""
    np.testing.assert_allclose(to_bt709(grey(0.4401), PQ, BT2020), (50 / WHITE_NITS) ** (1 / SDR_GAMMA), atol=1e-3)
    assert PEAK_NITS > WHITE_NITS


def test_colours_within_bt709_come_back_from_wide_gamuts() -> None:
    colour = np.array([0.8, 0.4, 0.3])  # skin
    to_bt2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    wide = (to_bt2020 @ colour**SDR_GAMMA) ** (1 / SDR_GAMMA)
    np.testing.assert_allclose(to_bt709(wide, SDR, BT2020), colour, atol=2e-3)


@pytest.mark.parametrize("transfer", [PQ, HLG, SDR])
def test_a_file_is_converted_and_says_so(tmp_path: Path, transfer: int) -> None:
    signal = {PQ: 0.4401, HLG: 0.4, SDR: 0.5}[transfer]
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = BT2020, transfer, 9, 1
        frame = av.VideoFrame(64, 48, "yuv420p10le")
        for plane, level in zip(frame.planes, (round(64 + 876 * signal), 512, 512), strict=True):
            plane.update(np.full(plane.buffer_size // 2, level, np.uint16).tobytes())
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with MediaFile(path) as media:
        image = next(media.frames()).image
        assert media.notes == (
            {
                PQ: "its HDR (PQ) is converted to BT.709",
                HLG: "its HDR (HLG) is converted to BT.709",
                SDR: "its wide gamut (BT.2020) is converted to BT.709",
            }[transfer],
        )
    np.testing.assert_allclose(image[24, 32] / 255, to_bt709(grey(signal), transfer, BT2020), atol=0.008)
