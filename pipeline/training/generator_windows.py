"""What a generator trains on: a moment of a clip, another moment of it, and the sound of both and of more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.features import alignment
from pipeline.features.alignment import WINDOW_FRAMES
from pipeline.inference.generator_kinds import OURS, GeneratorKind
from pipeline.shards.clip import Clip
from pipeline.training.augment import augment_faces, draw_gains, louder
from pipeline.training.windows import Item


@dataclass(frozen=True)
class CutGeneratorWindow:
    """A target window, a reference window elsewhere in the clip, the audio of the target and of other moments."""

    min_reference_gap_frames: int
    """Between the starts of windows of 5 frames; longer windows are as much further apart as they are longer."""
    num_other_audio: int = 0
    is_augmented: bool = False
    kind: GeneratorKind = OURS
    num_frames: int = WINDOW_FRAMES
    """T, a multiple of 5."""

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Item | None:
        """``target, reference: uint8 [T, 96, 96, 3]``, ``audio: float32 [T, F, L]`` as the kind of generator hears it,
        ``sync_mel: float32 [T / 5, 1 + num_other_audio, 80, 16]``, for every 5 frames their own first.

        The reference never overlaps the target: an overlap would let the generator copy the mouth. The other audio
        keeps the same distance, so that none of it is a near miss of the target's; a longer target's own fives are 5
        frames apart. Augmentation is the same for target
        and reference: colours that change from batch to batch have to be read off the reference, not remembered.
        Every kind draws the same windows, references and augmentation.
        """
        starts = np.arange(max(0, clip.num_frames - self.num_frames + 1))
        apart = self.min_reference_gap_frames + self.num_frames - WINDOW_FRAMES
        with_room = starts[np.maximum(starts, len(starts) - 1 - starts) >= apart]  # for a reference before or behind
        if not len(with_room):
            return None
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
        """The start of 5 frames, and others far enough from each five of the target: int64 [1 + num_other_audio].

        The loss compares every five with all audio of the batch, so also with what another five drew.
        """
        starts = np.arange(clip.num_frames - WINDOW_FRAMES + 1)
        starts = starts[np.abs(starts[:, None] - fives).min(axis=1) >= self.min_reference_gap_frames]
        others = rng.choice(starts, size=self.num_other_audio, replace=len(starts) < self.num_other_audio)
        return np.concatenate([[start], others])
