"""LSE-D and LSE-C, the lip-sync errors (Prajwal et al. 2020, sec. 4; Chung & Zisserman 2016, sec. 3).

They are defined by the published evaluation code, joonson/syncnet_python. Windows of 5 frames are compared with windows
of 20 MFCC steps by Euclidean distance at every shift of up to 15 frames. Distances are averaged over windows. LSE-D is
the minimum over shifts, LSE-C the median minus the minimum. Shifted audio beyond the ends of the clip is a zero vector,
as published. On clips of fewer than about 31 windows this distorts the median, and hence LSE-C. The scores are
therefore also computed without these zero vectors (edge ``valid``; the published form is edge ``zero``).

V windows (one starting at each frame), D embedding, S = 2 * vshift + 1 shifts.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from models.choices import WINDOW_FRAMES
from models.losses import pairwise_distances
from models.lse_syncnet import MFCC_STEPS, LseSyncNet
from pipeline.core.errors import DataError
from pipeline.features.alignment import SAMPLES_PER_FRAME
from pipeline.features.mfcc import mfcc
from pipeline.metrics import ClipTooShortError
from pipeline.metrics.best_offset import MIN_WINDOWS, best_offset, offsets_within
from pipeline.metrics.exact import full_float32

VSHIFT_FRAMES = 15
"""Largest offset of audio and video that is searched, as published."""
EVALUATOR_INPUT_PX = 224
MFCC_STEPS_PER_FRAME = 4
DROPPED_WINDOWS = 5
"""The published code has 5 windows fewer than frames; one more would be possible."""
DISTANCE_EPS = 1e-6
WINDOWS_PER_PASS = {"cpu": 4, "cuda": 64}
"""Windows per pass, by device. On a CPU more windows exceed its caches (16 took 1.3 times as long in one run)."""


@dataclass(frozen=True)
class LseScore:
    """Scores of one clip."""

    lse_d: float
    """Mean distance at the best shift; lower is better."""
    lse_c: float
    """Median minus minimum over shifts; higher is better."""
    offset_frames: int
    """Shift of the least distance in frames; positive if the audio leads the video."""
    mean_distances: tuple[float, ...]
    """Mean distances at the offsets vshift, vshift - 1, ..., -vshift."""
    num_windows: int
    lse_d_valid: float
    """``lse_d`` with each shift's mean over the windows whose audio lies within the clip."""
    lse_c_valid: float
    """``lse_c`` of those means. Shifts with fewer than 5 windows (or than the clip has) are left out."""

    @property
    def limit_frames(self) -> int:
        """Largest offset that was searched, either way."""
        return len(self.mean_distances) // 2

    @property
    def is_short(self) -> bool:
        """Whether the clip has fewer windows than shifts: zero vectors beyond its ends then distort ``lse_c``."""
        return self.num_windows < len(self.mean_distances)


def num_windows(num_frames: int, num_samples: int) -> int:
    """Number of windows that the published code compares in a clip at 25 fps and 16 kHz.

    Raises ClipTooShortError if there is none.
    """
    count = min(num_frames, num_samples // SAMPLES_PER_FRAME) - DROPPED_WINDOWS
    if count < 1:
        raise ClipTooShortError(
            f"LSE needs {DROPPED_WINDOWS + 1} frames and "
            f"{(DROPPED_WINDOWS + 1) * SAMPLES_PER_FRAME} samples, "
            f"the clip has {num_frames} and {num_samples}"
        )
    return count


def mfcc_windows(mfcc_steps: NDArray[np.floating[Any]], num: int) -> NDArray[np.float32]:
    """MFCC windows, coefficients first: float [n, 13] -> float32 [num, 1, 13, 20]. Window v has steps 4v .. 4v+19.

    Raises ClipTooShortError if the last window would exceed the input.
    """
    needed = MFCC_STEPS_PER_FRAME * (num - 1) + MFCC_STEPS
    if len(mfcc_steps) < needed:
        raise ClipTooShortError(f"{num} windows need {needed} MFCC steps, got {len(mfcc_steps)}")
    windows = np.lib.stride_tricks.sliding_window_view(mfcc_steps[:needed], MFCC_STEPS, axis=0)
    return np.ascontiguousarray(windows[::MFCC_STEPS_PER_FRAME, None], dtype=np.float32)


def shifted_distances(
    lip: NDArray[np.floating[Any]], audio: NDArray[np.floating[Any]], vshift: int = VSHIFT_FRAMES
) -> NDArray[np.float64]:
    """Distance of lip window v to audio window v + k - vshift: float [V, D] each -> float64 [V, S].

    Audio windows outside the clip are zero vectors. 1e-6 is added to each difference, as in torch's pairwise_distance.
    Raises ValueError if the embeddings are empty or differ in shape.
    """
    if lip.shape != audio.shape or lip.ndim != 2 or not len(lip):
        raise ValueError(
            f"lip and audio embeddings must be [V, D] of equal shape with V > 0, got {lip.shape}, {audio.shape}"
        )
    num = len(lip)
    padded = np.pad(audio.astype(np.float64), ((vshift, vshift), (0, 0)))
    shifted_lip = lip.astype(np.float64) + DISTANCE_EPS
    distances = np.empty((num, 2 * vshift + 1))
    for k in range(2 * vshift + 1):
        distances[:, k] = np.linalg.norm(shifted_lip - padded[k : k + num], axis=1)
    return distances


def lse_scores(
    lip: NDArray[np.floating[Any]], audio: NDArray[np.floating[Any]], vshift: int = VSHIFT_FRAMES
) -> LseScore:
    """Scores of one clip from its embeddings, float [V, D] each, not normalised.

    Raises ValueError if the embeddings are empty or differ in shape, and DataError if they are not finite.
    """
    distances = shifted_distances(lip, audio, vshift)
    mean_distances = distances.mean(axis=0)
    if not np.isfinite(mean_distances).all():
        raise DataError("lip or audio embeddings are not finite")
    best = best_offset(offsets_within(vshift), -mean_distances)
    valid = best_offset(*_valid_similarities(distances, vshift))
    return LseScore(
        lse_d=-best.mean,
        lse_c=best.margin,
        offset_frames=best.offset_frames,
        mean_distances=tuple(mean_distances.tolist()),
        num_windows=len(lip),
        lse_d_valid=-valid.mean,
        lse_c_valid=valid.margin,
    )


def _valid_similarities(distances: NDArray[np.float64], vshift: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Offsets that leave enough windows whose audio exists, and the negative mean distance of those: at most [S]."""
    num, num_shifts = distances.shape
    audio_index = np.arange(num)[:, None] + np.arange(num_shifts) - vshift
    is_valid = (audio_index >= 0) & (audio_index < num)
    counts = is_valid.sum(axis=0)
    enough = counts >= min(MIN_WINDOWS, num)
    means: NDArray[np.float64] = np.where(is_valid, distances, 0.0).sum(axis=0)[enough] / counts[enough]
    return offsets_within(vshift)[enough], -means


def evaluator_frames(frames: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """Input of the evaluator: uint8 [N, H, W, 3] BGR -> uint8 [3, N, 224, 224] on ``device``, bilinear, rounded.

    The published code uses 8-bit frames too, and integers are exact in bfloat16. Frames are always resized on the CPU:
    in fixed point this is ten times as fast as in float32, and equal for all devices.
    """
    frames_NCHW = torch.from_numpy(frames).permute(0, 3, 1, 2)
    if frames_NCHW.shape[2:] != (EVALUATOR_INPUT_PX, EVALUATOR_INPUT_PX):
        frames_NCHW = F.interpolate(
            frames_NCHW, size=(EVALUATOR_INPUT_PX, EVALUATOR_INPUT_PX), mode="bilinear", align_corners=False
        )
    return frames_NCHW.to(device).transpose(0, 1)


@torch.inference_mode()
def embed_clip(
    network: LseSyncNet,
    context_frames: NDArray[np.uint8],
    audio: NDArray[np.int16],
    device: torch.device,
    autocast: bool = False,
    chunk_windows: int | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Embeddings of a clip's windows: (lip, audio), float32 [V, 1024] each.

    ``context_frames``: uint8 [N, H, W, 3] BGR, context crops at 25 fps; ``audio``: int16 [n], 16 kHz mono.
    ``network`` must be on ``device`` and in eval mode. It runs ``chunk_windows`` windows at a time (None: the default
    of the device), so memory does not grow with the clip. The chunk size does not change the result. With ``autocast``
    it runs in bfloat16, else in float32 without TF32.
    Raises ClipTooShortError for a clip without windows and ValueError for a network in training mode.
    """
    if network.training:
        raise ValueError("the evaluator is in training mode, where its scores depend on the batch; call eval() first")
    num = num_windows(len(context_frames), len(audio))
    chunk = chunk_windows or WINDOWS_PER_PASS.get(device.type, WINDOWS_PER_PASS["cuda"])
    mfcc_N1CL = mfcc_windows(mfcc(audio), num)
    lips: list[torch.Tensor] = []
    audios: list[torch.Tensor] = []
    overlap = WINDOW_FRAMES - 1
    tail = evaluator_frames(context_frames[:overlap], device)
    with full_float32(), torch.autocast(device.type, torch.bfloat16) if autocast else nullcontext():
        for start in range(0, num, chunk):
            stop = min(start + chunk, num)
            new = evaluator_frames(context_frames[start + overlap : stop + overlap], device)
            frames_CTHW = torch.cat([tail, new], dim=1)
            tail = frames_CTHW[:, -overlap:]
            lips.append(network.embed_lips(frames_CTHW[None])[0].float().cpu())
            steps_N1CL = torch.from_numpy(mfcc_N1CL[start:stop]).to(device)
            audios.append(network.embed_audio(steps_N1CL).float().cpu())
    return torch.cat(lips).numpy(), torch.cat(audios).numpy()


def negative_distances(lip: NDArray[np.float32], audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Similarity of all lip windows (rows) and audio windows (columns): float32 [V, D] each -> [V, V]."""
    distances: NDArray[np.float32] = pairwise_distances(torch.from_numpy(lip), torch.from_numpy(audio)).numpy()
    return -distances
