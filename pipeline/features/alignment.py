"""Alignment of audio features with video frames; no other module computes it.

Dataset, inference and evaluation call these functions. The offset of one frame between Wav2Lip's training and inference
(Rudrabha/Wav2Lip issues 209 and 437) can therefore not occur.

Frame f covers the time [f / fps, (f + 1) / fps). Mel column k is centred at k / 80 s.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.features.array_file import ArrayRows

SAMPLE_RATE_HZ = 16_000
FPS = 25.0
SAMPLES_PER_FRAME = round(SAMPLE_RATE_HZ / FPS)
MEL_RATE_HZ = 80.0
MEL_HOP_SAMPLES = 200
NUM_MELS = 80
MEL_WINDOW = 16
"""Mel columns in one window: 0.2 s."""
MEL_SILENCE = -4.0
MFCC_RATE_HZ = 100.0
MFCC_STEP_S = 0.025
"""Length of the audio that one MFCC step covers."""


def mel_window_start(frame: float, fps: float = FPS, lead_frames: float = 0.0) -> int:
    """First mel column of a frame's window, which starts ``lead_frames`` before the frame; may be negative.

    ``lead_frames = 0`` gives the sync window that starts with this frame (frames f .. f+4 at 25 fps).
    """
    return math.floor(MEL_RATE_HZ * (frame - lead_frames) / fps + 1e-6)


def mel_window(mel: ArrayRows[np.float32], start: int, num_columns: int = MEL_WINDOW) -> NDArray[np.float32]:
    """``mel: float32 [L, 80]`` -> float32 [80, num_columns] from column ``start``; silence outside the clip."""
    return _cut(mel, start, num_columns, MEL_SILENCE)


def centred_lead_frames(fps: float = FPS, num_columns: int = MEL_WINDOW) -> float:
    """Frames by which a mel window must start before its frame to be centred on it: 2 (80 ms) at 25 fps.

    Column k is centred at k / 80 s and starts are rounded down, so the centres of the windows are 6 to 19 ms early.
    """
    return num_columns / MEL_RATE_HZ / 2 * fps - 0.5


def frame_mel_windows(
    mel: ArrayRows[np.float32],
    frames: NDArray[np.int64] | range,
    fps: float = FPS,
    lead_frames: float | None = None,
    num_columns: int = MEL_WINDOW,
) -> NDArray[np.float32]:
    """One generator window per frame: ``mel: float32 [L, 80]`` -> float32 [N, 80, num_columns].

    Each window is centred on its frame, or starts ``lead_frames`` before it.
    """
    lead = centred_lead_frames(fps, num_columns) if lead_frames is None else lead_frames
    windows = [mel_window(mel, mel_window_start(int(f), fps, lead), num_columns) for f in frames]
    return np.stack(windows) if windows else np.empty((0, NUM_MELS, num_columns), np.float32)


def frame_mfcc_windows(
    coefficients: NDArray[np.float32], frames: NDArray[np.int64] | range, num_steps: int, fps: float = FPS
) -> NDArray[np.float32]:
    """One MFCC window per frame, centred on it: ``float32 [L, K]`` at 100 steps/s -> float32 [N, K, num_steps].

    Step k covers 10 k to 10 k + 25 ms. Outside the clip every coefficient is 0. In silence all coefficients but the log
    energy are 0.
    """
    half_s = (num_steps - 1) / MFCC_RATE_HZ / 2 + MFCC_STEP_S / 2
    starts = [round(MFCC_RATE_HZ * ((int(f) + 0.5) / fps - half_s)) for f in frames]
    windows = [_cut(coefficients, start, num_steps, 0.0) for start in starts]
    return np.stack(windows) if windows else np.empty((0, coefficients.shape[1], num_steps), np.float32)


def _cut(columns: ArrayRows[np.float32], start: int, num: int, outside: float) -> NDArray[np.float32]:
    """``float32 [L, K]`` -> float32 [K, num] from ``start``, with ``outside`` beyond the ends."""
    window = np.full((num, columns.shape[1]), outside, dtype=np.float32)
    lo, hi = max(start, 0), min(start + num, len(columns))
    if lo < hi:
        window[lo - start : hi - start] = columns[lo:hi]
    return np.ascontiguousarray(window.T)


def sync_mel_window(mel: NDArray[np.float32], start_frame: int) -> NDArray[np.float32]:
    """Mel window of frames ``start_frame .. start_frame + 4`` at 25 fps: float32 [L, 80] -> float32 [80, 16]."""
    return mel_window(mel, mel_window_start(start_frame))


def num_frames_of(num_samples: int, fps: float = FPS) -> int:
    """Number of video frames with the duration of ``num_samples`` at 16 kHz, rounded to the nearest frame."""
    return round(num_samples * fps / SAMPLE_RATE_HZ)


def num_samples_of(num_frames: int, fps: float = FPS) -> int:
    """Number of audio samples at 16 kHz with the duration of ``num_frames``."""
    return round(num_frames * SAMPLE_RATE_HZ / fps)
