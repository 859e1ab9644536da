"""Training of the evaluator network of LSE-D and LSE-C, which is used without the official weights.

The evaluator has the same training clips as the expert. Everything else differs: network (Chung and Zisserman, "Out of
time"), input (context crops at 224 px and MFCC), objective (distances instead of cosines) and seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.choices import WINDOW_FRAMES
from models.losses import distance_softmax_loss, pairwise_distances
from models.lse_syncnet import LseSyncNet
from models.parallel import gather_batch, with_shared_statistics
from pipeline.core.choices import Augment
from pipeline.features.alignment import SAMPLES_PER_FRAME
from pipeline.features.mfcc import mfcc
from pipeline.inference.device import autocast, uses_bf16
from pipeline.media.image import blur_each
from pipeline.metrics.lse import (
    DROPPED_WINDOWS,
    embed_clip,
    evaluator_frames,
    mfcc_windows,
    negative_distances,
)
from pipeline.params import TrainEvaluatorParams
from pipeline.shards.clip import Clip
from pipeline.training.augment import augment_faces, move_faces
from pipeline.training.sync_trainee import SyncTrainee
from pipeline.training.trainee import Batch
from pipeline.training.windows import Item, spread_starts, starts_fit

MAX_SOFTNESS = 1 / 64
"""Largest standard deviation of the blur in training, as a fraction of the image's side: 2.5 px for 160 px."""


WARPS = tuple(round(0.86 + 0.02 * step, 2) for step in range(16))
"""Factors of the frequencies in strong augmentation: 0.86 to 1.16."""
MAX_TILT = 0.5
"""Largest coefficient of the random filter y[n] = x[n] + c x[n-1] in strong augmentation."""
NOISE_DB = (10.0, 50.0)
"""Level of the noise below that of the speech in strong augmentation, dB."""


@dataclass(frozen=True)
class CutEvaluatorWindows:
    """Cuts windows of context crops and their MFCC windows from a clip, for the evaluator."""

    windows_per_clip: int
    min_gap_frames: int
    augment: Augment = "light"

    def has_room(self, clip: Clip) -> bool:
        return starts_fit(_num_starts(clip), self.windows_per_clip, self.min_gap_frames)

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Item | None:
        """``context``: uint8 [K, T, H, W, 3] BGR, ``mfcc``: float32 [K, 13, 20]. None if the clip is too short.

        Light augmentation changes colour, sharpness and loudness. Strong augmentation also moves the faces, and changes
        voice, timbre and noise of the audio.
        """
        num_starts = _num_starts(clip)
        starts = spread_starts(num_starts, self.windows_per_clip, self.min_gap_frames, rng)
        if starts is None:
            return None
        frames = starts[:, None] + np.arange(WINDOW_FRAMES)
        images = clip.context(frames.reshape(-1))
        context = images.reshape(*frames.shape, *images.shape[1:])
        samples, warp = augment_audio(clip.audio, rng), 1.0
        if self.augment == "strong":
            context, samples, warp = move_faces(context, rng), change_timbre(samples, rng), float(rng.choice(WARPS))
        audio = mfcc_windows(mfcc(samples, warp), num_starts)
        return {"context": soften_faces(augment_faces(context, rng), rng), "mfcc": audio[starts, 0]}


def _num_starts(clip: Clip) -> int:
    """Number of starts of a window that has both frames and audio; 0 or less for a shorter clip."""
    return min(clip.num_frames, len(clip.audio) // SAMPLES_PER_FRAME) - DROPPED_WINDOWS


def soften_faces(windows: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Random blur of half of the windows, constant within each window: uint8 [K, T, H, W, 3].

    Generated faces are blurrier than video. An evaluator trained on video only would score blurred faces as out of
    sync, and so measure image quality, which FID already measures.
    """
    largest_px = MAX_SOFTNESS * windows.shape[-2]
    return np.stack(
        [blur_each(window, rng.uniform(0, largest_px)) if rng.random() < 0.5 else window for window in windows]
    )


def augment_audio(samples: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.int16]:
    """Random gain of up to 6 dB up or down: int16 [n]."""
    louder = samples * 10 ** (rng.uniform(-6, 6) / 20)
    return np.clip(np.round(louder), -32768, 32767).astype(np.int16)


def change_timbre(samples: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.int16]:
    """Random first-order filter, and noise 10 to 50 dB below the speech: int16 [n]."""
    tilt = rng.uniform(-MAX_TILT, MAX_TILT)
    filtered = samples.astype(np.float64)
    filtered[1:] += tilt * samples[:-1]
    level = np.sqrt(np.mean(np.square(filtered))) * 10 ** (-rng.uniform(*NOISE_DB) / 20)
    noisy = filtered + level * rng.standard_normal(len(filtered))
    return np.clip(np.round(noisy), -32768, 32767).astype(np.int16)


def evaluator_windows(context: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Context crops uint8 [N, T, H, W, 3] BGR -> uint8 [N, 3, T, 224, 224], resized in the same way as in scoring."""
    num, frames = context.shape[:2]
    images_CNHW = evaluator_frames(context.flatten(0, 1).numpy(), device)
    return images_CNHW.unflatten(1, (num, frames)).transpose(0, 1)


class EvaluatorTrainee(SyncTrainee[LseSyncNet, TrainEvaluatorParams]):
    """An evaluator with its optimiser and fixed validation clips.

    ``validation_seed``: of the pairs of windows that validation compares.
    """

    def __init__(
        self, params: TrainEvaluatorParams, validation_clips: Sequence[Clip], device: torch.device, validation_seed: int
    ) -> None:
        network = LseSyncNet(params.width)
        with_shared_statistics(network).to(device)
        groups = [{"params": list(network.parameters()), "weight_decay": params.weight_decay}]
        super().__init__(params, network, groups, validation_clips, device, validation_seed)

    def step(self, batch: Batch, step: int) -> dict[str, torch.Tensor | float]:
        """One optimiser step. ``context``: uint8 [B, K, T, H, W, 3], ``mfcc``: float32 [B, K, 13, 20]."""
        self.network.train()
        frames = evaluator_windows(batch["context"].flatten(0, 1), self._device)
        mfcc_N1CL = batch["mfcc"].flatten(0, 1).unsqueeze(1).to(self._device)
        with autocast(self._params.precision, self._device):
            lip_ND = gather_batch(self.network.embed_lips(frames)[:, 0].float())
            audio_ND = gather_batch(self.network.embed_audio(mfcc_N1CL).float())
        loss = distance_softmax_loss(pairwise_distances(lip_ND, audio_ND))
        rates = self._optimise(loss, step)
        with torch.no_grad():
            true = (lip_ND - audio_ND).norm(dim=1)
            wrong = (lip_ND - audio_ND.roll(1, dims=0)).norm(dim=1)
        return {
            "loss": loss.detach(),
            "pairwise_accuracy": (true < wrong).float().mean(),
            "distance_in_sync": true.mean(),
            "distance_out_of_sync": wrong.mean(),
            **rates,
        }

    @torch.inference_mode()
    def similarity(self, clip: Clip) -> NDArray[np.float32]:
        """Negative distances between all lip windows (rows) and audio windows (columns) of a clip: float32 [V, V]."""
        self.network.eval()
        context = clip.context(np.arange(clip.num_frames))
        bf16 = uses_bf16(self._params.precision, self._device)
        lip, audio = embed_clip(self.network, context, clip.audio, self._device, bf16)
        return negative_distances(lip, audio)
