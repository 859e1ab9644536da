"""Training windows of generators: target, reference, the generator's audio input, and audio for the sync loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from models.choices import WINDOW_FRAMES
from pipeline.core.errors import DataError
from pipeline.features import alignment
from pipeline.inference.generator_kinds import OURS, GeneratorKind
from pipeline.params import TrainGanParams
from pipeline.training.augment import augment_faces, draw_gains, louder
from pipeline.training.windows import Item

if TYPE_CHECKING:  # importing it imports OpenCV
    from pipeline.shards.clip import Clip


@dataclass(frozen=True)
class CutGeneratorWindow:
    """Cuts a target window, a reference window, the target's audio and other audio from a clip."""

    min_reference_gap_frames: int
    """Minimum distance of the starts of target and reference, for T = 5. It grows with T by T - 5 frames."""
    num_other_audio: int = 0
    """Number of audio windows of other moments, per 5 frames."""
    is_augmented: bool = False
    kind: GeneratorKind = OURS
    num_frames: int = WINDOW_FRAMES
    """T, a multiple of 5."""

    @property
    def _min_distance(self) -> int:
        """Minimum distance of the starts of target and reference, in frames."""
        return self.min_reference_gap_frames + self.num_frames - WINDOW_FRAMES

    def has_room(self, clip: Clip) -> bool:
        return clip.num_frames - self.num_frames >= self._min_distance

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Item | None:
        """The clip's window, or None if the clip is too short.

        ``target`` and ``reference``: uint8 [T, S, S, 3] BGR. ``audio``: float32 [T, F, L], the audio windows of the
        kind of generator. ``sync_mel``: float32 [T / 5, 1 + num_other_audio, 80, 16]; for each 5 frames, their own
        audio comes first.

        The reference never overlaps the target, since the generator could copy the mouth from an overlap. The other
        audio is at least ``min_reference_gap_frames`` away from each 5 frames of the target, so that it is clearly out
        of sync with them. Target and reference get the same augmentation, so the generator has to take the colours
        from the reference. All kinds of generator get the same windows, references and augmentation.
        """
        if not self.has_room(clip):
            return None
        starts, apart = np.arange(clip.num_frames - self.num_frames + 1), self._min_distance
        with_room = starts[np.maximum(starts, len(starts) - 1 - starts) >= apart]  # room for a reference
        start = int(with_room[rng.integers(0, len(with_room))])
        candidates = starts[np.abs(starts - start) >= apart]
        reference = int(rng.choice(candidates))
        frames = np.arange(self.num_frames)
        fives = start + np.arange(0, self.num_frames, WINDOW_FRAMES)
        sync_starts = [self._with_others(clip, int(five), fives, rng) for five in fives]
        crops = clip.crops(np.concatenate([start + frames, reference + frames]))
        audio = self.kind.audio_windows(clip, start + frames, alignment.FPS)
        sync_mel = np.stack([[alignment.sync_mel_window(clip.mel, int(s)) for s in row] for row in sync_starts])
        if self.is_augmented:
            crops = augment_faces(crops[None], rng)[0]
            gain = draw_gains(rng, 1)[0]
            sync_mel = louder(sync_mel, gain)
            audio = louder(audio, gain) if self.kind.is_loudness_sensitive else audio
        target, reference_crops = np.split(crops, [self.num_frames])
        return {"target": target, "reference": reference_crops, "audio": audio, "sync_mel": sync_mel}

    def _with_others(
        self, clip: Clip, start: int, fives: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """``start``, and random starts at the minimum distance from all ``fives``: int64 [1 + num_other_audio].

        The distance holds for all ``fives``, the starts of each 5 frames of the target, because the loss compares each
        of them with all audio of the batch.
        """
        starts = np.arange(clip.num_frames - WINDOW_FRAMES + 1)
        starts = starts[np.abs(starts[:, None] - fives).min(axis=1) >= self.min_reference_gap_frames]
        others = rng.choice(starts, size=self.num_other_audio, replace=len(starts) < self.num_other_audio)
        return np.concatenate([[start], others])


def window_cut(params: TrainGanParams, kind: GeneratorKind, *, is_augmented: bool) -> CutGeneratorWindow:
    """The function that cuts one clip's window for a batch. Only the InfoNCE sync loss needs audio of other moments."""
    others = params.sync_negatives if params.sync_objective == "infonce" else 0
    return CutGeneratorWindow(params.min_reference_gap_frames, others, is_augmented, kind, params.window_frames)


def validation_batch(
    clips: Sequence[Clip], cut: CutGeneratorWindow, params: TrainGanParams, seed: int
) -> dict[str, torch.Tensor]:
    """The fixed validation windows. They depend on ``seed`` and the clips only, so all variants have the same."""
    items = []
    for index in range(params.num_validation_windows):
        item = cut(clips[index % len(clips)], np.random.default_rng([seed, index]))
        if item is not None:
            items.append(item)
    if not items:
        raise DataError(
            "no validation clip is long enough for a window and a reference; add longer clips to the split val, or "
            "lower train_gan.window_frames or train_gan.min_reference_gap_frames, in params.yaml"
        )
    return {name: torch.from_numpy(np.stack([i[name] for i in items])) for name in items[0]}
