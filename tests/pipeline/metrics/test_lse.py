"""LSE against a second implementation, known shifts, and independence of chunking."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.lse_syncnet import LseSyncNet
from pipeline.core.errors import DataError
from pipeline.features.alignment import SAMPLES_PER_FRAME
from pipeline.features.mfcc import mfcc
from pipeline.metrics import ClipTooShortError
from pipeline.metrics.lse import (
    embed_clip,
    evaluator_frames,
    lse_scores,
    mfcc_windows,
    num_windows,
    shifted_distances,
)

CPU = torch.device("cpu")


def embeddings(num: int, dim: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(num, dim)).astype(np.float32), rng.normal(size=(num, dim)).astype(np.float32)


def looped_scores(lip: np.ndarray, audio: np.ndarray, vshift: int) -> tuple[float, float, int, list[float]]:
    """The published definition, one scalar at a time."""
    num, dim = lip.shape
    means = []
    for k in range(2 * vshift + 1):
        total = 0.0
        for v in range(num):
            other = v + k - vshift
            squares = 0.0
            for d in range(dim):
                value = float(audio[other, d]) if 0 <= other < num else 0.0
                squares += (float(lip[v, d]) - value + 1e-6) ** 2
            total += math.sqrt(squares)
        means.append(total / num)
    ordered = sorted(means)
    return ordered[0], ordered[vshift] - ordered[0], vshift - means.index(ordered[0]), means


@pytest.mark.parametrize(("num", "vshift"), [(1, 15), (12, 15), (40, 15), (9, 3)])
def test_scores_equal_the_plain_definition(num: int, vshift: int) -> None:
    lip, audio = embeddings(num, seed=num)
    lse_d, lse_c, offset, means = looped_scores(lip, audio, vshift)
    score = lse_scores(lip, audio, vshift)
    assert score.lse_d == pytest.approx(lse_d, abs=1e-10)
    assert score.lse_c == pytest.approx(lse_c, abs=1e-10)
    assert score.offset_frames == offset
    assert score.mean_distances == pytest.approx(means, abs=1e-10)
    assert score.num_windows == num
    assert len(score.mean_distances) == 2 * vshift + 1


@pytest.mark.parametrize(("num", "vshift"), [(1, 15), (12, 15), (40, 15), (9, 3)])
def test_valid_scores_leave_out_audio_beyond_the_clip(num: int, vshift: int) -> None:
    lip, audio = embeddings(num, seed=num)
    means = []
    for shift in range(-vshift, vshift + 1):
        pairs = [(lip[v], audio[v + shift]) for v in range(num) if 0 <= v + shift < num]
        if len(pairs) >= min(5, num):
            means.append(np.mean([math.dist(one + 1e-6, other) for one, other in pairs]))
    score = lse_scores(lip, audio, vshift)
    assert score.lse_d_valid == pytest.approx(min(means), abs=1e-6)
    assert score.lse_c_valid == pytest.approx(np.median(means) - min(means), abs=1e-6)


def test_zero_vectors_change_the_confidence_of_short_clips_only() -> None:
    rng = np.random.default_rng(5)
    far = 10 * rng.normal(size=(400, 64))
    short, long = lse_scores(far[:10], far[:10]), lse_scores(far, far)
    assert short.lse_c < 0.9 * short.lse_c_valid
    assert long.lse_c == pytest.approx(long.lse_c_valid, rel=0.02)


def test_distances_equal_torch_pairwise_distance() -> None:
    lip, audio = embeddings(8, dim=1024)
    expected = torch.nn.functional.pairwise_distance(torch.from_numpy(lip), torch.from_numpy(audio))
    assert shifted_distances(lip, audio)[:, 15] == pytest.approx(expected.numpy(), rel=1e-6)


@pytest.mark.parametrize("lead", [-15, -4, -1, 0, 1, 7, 15])
def test_audio_that_leads_has_a_positive_offset(lead: int) -> None:
    content = np.random.default_rng(3).normal(size=(100, 32))
    video = content[20:80]
    audio = content[20 + lead : 80 + lead]  # what the lips do at v is heard at v - lead
    score = lse_scores(video, audio)
    assert score.offset_frames == lead
    assert score.lse_c > 1.0


def test_embeddings_in_perfect_sync_are_an_epsilon_apart() -> None:
    lip, _ = embeddings(50, dim=1024)
    score = lse_scores(lip, lip)
    assert score.offset_frames == 0
    assert score.lse_d == pytest.approx(1e-6 * math.sqrt(1024), rel=1e-6)


def test_audio_beyond_the_clip_is_a_zero_vector() -> None:
    lip = np.full((4, 9), 2.0)
    distances = shifted_distances(lip, lip, vshift=5)
    assert distances[0, 0] == pytest.approx(6.0, abs=1e-5)  # |2 * ones(9)|
    assert distances[3, 10] == pytest.approx(6.0, abs=1e-5)
    assert distances[:, 5] == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize(("bad", "kind"), [("empty", ValueError), ("shape", ValueError), ("nan", DataError)])
def test_embeddings_that_cannot_be_scored_are_refused(bad: str, kind: type[Exception]) -> None:
    lip, audio = embeddings(6)
    if bad == "empty":
        lip = audio = lip[:0]
    elif bad == "shape":
        lip = lip[:-1]
    else:
        audio[2, 3] = np.nan
    with pytest.raises(kind, match="embeddings"):
        lse_scores(lip, audio)


def test_the_network_runs_in_full_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """The switches only mean something on CUDA, but they can be read anywhere."""
    seen: list[tuple[bool, bool]] = []
    network = LseSyncNet(0.03).eval()
    embed_lips = network.embed_lips

    def watch(frames: torch.Tensor) -> torch.Tensor:
        seen.append((torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))
        return embed_lips(frames)

    monkeypatch.setattr(network, "embed_lips", watch)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        embed_clip(network, np.zeros((7, 96, 96, 3), np.uint8), np.zeros(7 * 640, np.int16), CPU)
        assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == (True, True)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    assert seen == [(False, False)]


@pytest.mark.parametrize(
    ("num_frames", "num_samples", "expected"), [(75, 48_000, 70), (75, 47_200, 68), (70, 48_000, 65), (6, 3840, 1)]
)
def test_number_of_windows(num_frames: int, num_samples: int, expected: int) -> None:
    assert num_windows(num_frames, num_samples) == expected


@pytest.mark.parametrize(("num_frames", "num_samples"), [(5, 48_000), (75, 3839), (0, 0)])
def test_clip_without_a_window_is_too_short(num_frames: int, num_samples: int) -> None:
    with pytest.raises(ClipTooShortError, match=f"{num_frames} and {num_samples}"):
        num_windows(num_frames, num_samples)


def test_mfcc_windows_start_every_four_steps() -> None:
    steps = np.arange(40)[:, None] + np.arange(13)[None] / 100.0
    windows = mfcc_windows(steps.astype(np.float32), 5)
    assert windows.shape == (5, 1, 13, 20)
    assert windows.dtype == np.float32
    for v in range(5):
        assert windows[v, 0] == pytest.approx(steps[4 * v : 4 * v + 20].T)
    with pytest.raises(ClipTooShortError, match="7 windows need 44"):
        mfcc_windows(steps, 7)


@pytest.mark.parametrize("num_frames", [6, 7, 20, 75, 155])
def test_a_clip_has_the_mfcc_steps_of_its_windows(num_frames: int) -> None:
    num_samples = num_frames * SAMPLES_PER_FRAME
    num = num_windows(num_frames, num_samples)
    assert len(mfcc_windows(mfcc(np.zeros(num_samples, np.int16)), num)) == num


def test_frames_of_the_right_size_pass_unchanged_and_others_are_resized() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    assert np.array_equal(evaluator_frames(frames, CPU).numpy(), frames.transpose(3, 0, 1, 2))
    flat = np.broadcast_to(np.array([10, 100, 255], np.uint8), (3, 160, 160, 3)).copy()
    resized = evaluator_frames(flat, CPU)
    assert resized.shape == (3, 3, 224, 224)
    assert resized.dtype == torch.uint8
    assert [int(resized[c].unique()) for c in range(3)] == [10, 100, 255]


@pytest.fixture(scope="module")
def network() -> LseSyncNet:
    torch.manual_seed(0)
    net = LseSyncNet(width=0.125)
    for module in net.modules():  # freshly made statistics would hide a wrong mode
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return net.eval()


def clip(num_frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (num_frames, 40, 40, 3), dtype=np.uint8)
    audio = rng.integers(-8000, 8000, num_frames * SAMPLES_PER_FRAME).astype(np.int16)
    return frames, audio


@pytest.mark.parametrize("chunk_windows", [1, 4, 100])
def test_clip_embeddings_equal_each_window_alone(network: LseSyncNet, chunk_windows: int) -> None:
    frames, audio = clip(15)
    lip, sound = embed_clip(network, frames, audio, CPU, chunk_windows=chunk_windows)
    assert lip.shape == sound.shape == (10, 1024)
    assert lip.dtype == sound.dtype == np.float32
    steps = mfcc(audio)
    with torch.inference_mode():
        for v in range(10):
            window = evaluator_frames(frames[v : v + 5], CPU).float()
            alone = network.embed_lips(window[None])[0, 0].numpy()
            heard = network.embed_audio(torch.from_numpy(steps[4 * v : 4 * v + 20].T.copy())[None, None])[0]
            assert np.abs(lip[v] - alone).max() < 1e-5 * np.abs(alone).max()
            assert np.abs(sound[v] - heard.numpy()).max() < 1e-5 * np.abs(heard.numpy()).max()


def test_frames_beyond_the_audio_do_not_count(network: LseSyncNet) -> None:
    frames, audio = clip(12)
    longer = np.concatenate([frames, frames[:4]])
    short = embed_clip(network, frames, audio, CPU)
    long = embed_clip(network, longer, audio, CPU)
    assert np.allclose(short[0], long[0], rtol=1e-5, atol=1e-6)
    assert np.array_equal(short[1], long[1])


def test_bfloat16_scores_are_close(network: LseSyncNet) -> None:
    frames, audio = clip(14)
    exact = lse_scores(*embed_clip(network, frames, audio, CPU))
    fast = lse_scores(*embed_clip(network, frames, audio, CPU, autocast=True))
    assert fast.lse_d == pytest.approx(exact.lse_d, rel=0.02)
    assert fast.lse_d != exact.lse_d


def test_network_in_training_mode_and_short_clips_are_refused(network: LseSyncNet) -> None:
    with pytest.raises(ClipTooShortError):
        embed_clip(network, *clip(5), CPU)
    network.train()
    try:
        with pytest.raises(ValueError, match="training mode"):
            embed_clip(network, *clip(8), CPU)
    finally:
        network.eval()
