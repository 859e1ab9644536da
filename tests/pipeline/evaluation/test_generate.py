from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.generator import Generator, GeneratorConfig
from pipeline.core.errors import DataError
from pipeline.evaluation.generate import CropGenerator, paste, reference_frames
from pipeline.inference.generator import MouthGenerator
from pipeline.inference.generator_inputs import ExtractedAudio
from pipeline.inference.generator_kinds import LIPGAN_SHORT, OURS, OURS_CONTEXT, OURS_CONTEXT_BOTH, GeneratorKind
from tests.support.media_readers import crop_frames


@pytest.fixture(scope="module")
def network() -> Generator:
    torch.manual_seed(0)
    return Generator(GeneratorConfig(width=0.0625, lstm_hidden=8)).eval()


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (7, 96, 96, 3), dtype=np.uint8)


def voice_of(mel: NDArray[np.float32]) -> ExtractedAudio:
    return ExtractedAudio(mel, np.zeros(len(mel) * 200, np.int16))


@pytest.fixture(scope="module")
def voice() -> ExtractedAudio:
    return voice_of(np.random.default_rng(1).uniform(-4, 4, (24, 80)).astype(np.float32))


def test_result_does_not_depend_on_the_batch_size(network: Generator, crops, voice) -> None:
    whole = CropGenerator(MouthGenerator(network, "cpu", "fp32"), batch_frames=32)(crops, voice)
    parts = CropGenerator(MouthGenerator(network, "cpu", "fp32"), batch_frames=3)(crops, voice)
    assert whole.shape == crops.shape and whole.dtype == np.uint8
    assert np.abs(whole.astype(int) - parts.astype(int)).max() <= 1


def test_an_lstm_over_frames_remembers_across_batches(crops, voice) -> None:
    torch.manual_seed(0)
    network = Generator(GeneratorConfig(width=0.0625, lstm_over="frames"))
    assert network.frame_lstm is not None
    torch.nn.init.normal_(network.frame_lstm.projection.weight, std=2.0)
    whole = CropGenerator(MouthGenerator(network, "cpu", "fp32"), batch_frames=32)(crops, voice)
    draw = MouthGenerator(network, "cpu", "fp32")
    parts = CropGenerator(draw, batch_frames=3)(crops, voice)
    assert np.abs(whole.astype(int) - parts.astype(int)).max() <= 1
    alone = draw(
        crops[3:], draw.audio_windows(voice, range(3, len(crops))), np.broadcast_to(crops[:1], crops[3:].shape)
    )
    assert (
        alone != draw(crops, draw.audio_windows(voice, range(len(crops))), np.repeat(crops[:1], len(crops), 0))[3:]
    ).any()


def test_only_the_reference_shows_the_generator_a_mouth(network: Generator, crops, voice) -> None:
    changed = crops.copy()
    changed[1:, 48:] = 255 - changed[1:, 48:]
    for reference, is_seen in (("first", False), ("same", True)):
        generate = CropGenerator(MouthGenerator(network, "cpu", "fp32"), reference)
        is_different = not np.array_equal(generate(crops, voice), generate(changed, voice))
        assert is_different is is_seen


class LoudestBin(torch.nn.Module):
    """Grey frames as bright as the mel window's maximum: shows exactly which audio a frame hears."""

    def forward(self, mel_BTCML: torch.Tensor, faces_BTCHW: torch.Tensor) -> torch.Tensor:
        level_BT = (mel_BTCML.amax(dim=(2, 3, 4)) + 4) / 8
        return torch.ones_like(faces_BTCHW[:, :, :3]) * level_BT[:, :, None, None, None]


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [(OURS, 0, 0), (OURS_CONTEXT, 64, 0), (OURS_CONTEXT_BOTH, 64, 16), (LIPGAN_SHORT, 0, 0)],
)
def test_every_frame_hears_the_window_that_training_gives_it(
    crops, kind: GeneratorKind, before: int, after: int
) -> None:
    """A click in column 20 is heard by frames whose 16 columns from floor(3.2 (f - 2)) on, or those around, contain it.

    The clip, 1.4 s, is longer than the window with its context, 1 or 1.2 s.
    """
    mel = np.full((112, 80), -4, np.float32)
    mel[20] = 4.0
    frames = np.repeat(crops, 5, axis=0)
    generated = CropGenerator(MouthGenerator(LoudestBin(), "cpu", "fp32", kind), batch_frames=4)(frames, voice_of(mel))
    is_loud = (generated == 255).all(axis=(1, 2, 3))
    starts = [math.floor(3.2 * (f - 2)) for f in range(len(frames))]
    assert is_loud.tolist() == [start - before <= 20 < start + 16 + after for start in starts]
    assert 0 < is_loud.sum() < len(frames)


def test_reference_frames(crops) -> None:
    assert reference_frames(crops, "same") is crops
    first = reference_frames(crops, "first")
    assert first.shape == crops.shape and (first == crops[0]).all()


def test_not_a_number_is_an_error(crops, voice) -> None:
    broken = Generator(GeneratorConfig(width=0.0625, use_lstm=False, use_cbam=False)).eval()
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    with pytest.raises(DataError, match="not finite"):
        CropGenerator(MouthGenerator(broken, "cpu", "fp32"))(crops, voice)


def test_a_crop_over_the_whole_context_replaces_it(crops) -> None:
    context = np.zeros_like(crops)
    boxes = np.tile([0.0, 0.0, 96.0, 96.0], (len(crops), 1))
    assert (paste(context, crops, boxes) == crops).all()


@settings(max_examples=30)
@given(st.floats(-30, 60), st.floats(-30, 60), st.floats(40, 120))
def test_paste_changes_exactly_the_pixels_inside_the_box(x: float, y: float, side: float) -> None:
    context = np.full((1, 160, 160, 3), 7, np.uint8)
    crop = np.full((1, 96, 96, 3), 200, np.uint8)
    pasted = paste(context, crop, np.array([[x, y, x + side, y + side]]))
    centres = np.arange(160) + 0.5
    inside_x, inside_y = (np.abs(centres - start - side / 2) for start in (x, y))
    clear = np.add.outer(abs(inside_y - side / 2) > 1e-3, np.zeros(160, bool)) & (abs(inside_x - side / 2) > 1e-3)
    wanted = np.where(np.logical_and.outer(inside_y < side / 2, inside_x < side / 2), 200, 7)
    assert (pasted[0, ..., 0] == wanted)[clear].all()


def test_paste_puts_back_what_was_cut_out() -> None:
    """A smooth picture survives crop and paste at a sub-pixel place: both use the same pixel geometry."""
    y, x = np.mgrid[0:160, 0:160] / 160
    picture = np.stack([255 * x, 255 * y, 127 + 100 * np.sin(5 * x)], axis=-1).round().astype(np.uint8)[None]
    boxes = np.array([[22.3, 31.7, 140.9, 150.3]])
    cut = crop_frames(picture, boxes, 96)
    back = paste(picture, cut, boxes)
    inner = (slice(None), slice(36, 146), slice(27, 136))
    assert np.abs(back[inner].astype(int) - picture[inner].astype(int)).max() <= 2


def test_larger_crops_are_reduced_by_area_before_they_are_pasted() -> None:
    """A pattern of single pixels becomes grey. Bilinear samples of it would be black and white."""
    pattern = np.indices((192, 192)).sum(axis=0) % 2 * 255
    crops = np.broadcast_to(pattern[None, :, :, None], (2, 192, 192, 3)).astype(np.uint8)
    shown = paste(np.zeros((2, 160, 160, 3), np.uint8), crops, np.array([[32.0, 32, 128, 128]] * 2))
    assert np.ptp(shown[:, 33:127, 33:127]) <= 1 and abs(int(shown[0, 80, 80, 0]) - 127) <= 1
