"""Training windows of sync networks, and batches of windows.

All random choices use the clip's own random generator, so a resumed stream returns the same windows.
Legend: K windows, T = 5 frames, H W pixels, images uint8 BGR.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from models.choices import WINDOW_FRAMES
from pipeline.core.choices import Augment
from pipeline.core.errors import UserError
from pipeline.features import alignment
from pipeline.inference.tensors import expert_crops
from pipeline.shards.prefetch import Prefetcher
from pipeline.training.augment import augment_faces, augment_mel, degrade_faces, mask_mel, move_faces

if TYPE_CHECKING:  # importing it imports OpenCV
    from pipeline.shards.clip import Clip
    from pipeline.shards.stream import ClipStream

Item = dict[str, NDArray[Any]]
SYNC_LENGTH_SETTINGS = "windows_per_clip or min_gap_frames"
"""Settings of a sync network's stage that determine the length of a clip's windows, as an error names them."""


class Cut(Protocol):
    """Cuts the windows of a clip."""

    def has_room(self, clip: Clip) -> bool:
        """Whether the clip is long enough. Reads no image and draws no random number."""

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Item | None:
        """The windows of the clip by name, or None if ``has_room`` is false."""


def starts_fit(num_starts: int, num_windows: int, min_gap: int) -> bool:
    """Whether ``num_windows`` starts, at least ``min_gap`` apart, fit in [0, num_starts)."""
    return num_starts > (num_windows - 1) * min_gap


def spread_starts(
    num_starts: int, num_windows: int, min_gap: int, rng: np.random.Generator
) -> NDArray[np.int64] | None:
    """Random window starts in [0, num_starts), at least ``min_gap`` apart: int64 [num_windows]. None if none fit."""
    if not starts_fit(num_starts, num_windows, min_gap):
        return None
    slack = num_starts - 1 - (num_windows - 1) * min_gap
    cuts = np.sort(rng.integers(0, slack + 1, size=num_windows))
    return cuts + np.arange(num_windows) * min_gap


@dataclass(frozen=True)
class CutSyncWindows:
    """Cuts windows of lower face halves and their mel windows from a clip, for the expert."""

    windows_per_clip: int
    min_gap_frames: int
    augment: Augment = "light"

    def has_room(self, clip: Clip) -> bool:
        return starts_fit(_num_starts(clip), self.windows_per_clip, self.min_gap_frames)

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Item | None:
        """``faces``: uint8 [K, T, 48, 96, 3], ``mel``: float32 [K, 80, 16]. None if the clip is too short.

        Light augmentation changes colour, sharpness and loudness. Strong augmentation also moves the faces and masks
        parts of the mel.
        """
        starts = spread_starts(_num_starts(clip), self.windows_per_clip, self.min_gap_frames, rng)
        if starts is None:
            return None
        frames = starts[:, None] + np.arange(WINDOW_FRAMES)
        crops = expert_crops(clip.crops(frames.reshape(-1)))
        faces = crops.reshape(*frames.shape, *crops.shape[1:])
        mel = np.stack([alignment.sync_mel_window(clip.mel, int(start)) for start in starts])
        if self.augment == "strong":
            faces, mel = move_faces(faces, rng), mask_mel(mel, rng)
        lower = faces[:, :, faces.shape[2] // 2 :]
        return {"faces": degrade_faces(augment_faces(lower, rng), rng), "mel": augment_mel(mel, rng)}


def _num_starts(clip: Clip) -> int:
    """Number of starts of a window of 5 frames; 0 or less for a shorter clip."""
    return clip.num_frames - WINDOW_FRAMES + 1


def require_equal_shares(clips_per_batch: int, world_size: int) -> None:
    """Raise UserError if a batch cannot be divided equally among the processes.

    BatchNorm and the losses average the means of the processes, which is correct for equal shares only.
    """
    if clips_per_batch % world_size:
        fitting = [str(num) for num in range(1, clips_per_batch + 1) if clips_per_batch % num == 0]
        raise UserError(
            f"a batch of {clips_per_batch} clips cannot be divided equally among {world_size} processes; set "
            f"runtime.num_processes to one of {', '.join(fitting)}, or this stage's clips_per_batch to a multiple of "
            f"{world_size}, in params.yaml"
        )


class WindowBatches:
    """Iterable of batches with windows of ``clips_per_batch`` clips, each with the state of the stream after it.

    A background thread cuts the windows. Process ``rank`` of ``world_size`` cuts only its share, a contiguous part of
    each batch. The shares have equal sizes. Concatenated in the order of the ranks, they are the batch that a single
    process gets. Raises UserError if a batch cannot be divided equally, or if too few clips are long enough; the error
    names ``length_settings``, the settings that determine the length of a clip's windows.
    """

    def __init__(
        self,
        stream: ClipStream,
        cut: Cut,
        clips_per_batch: int,
        prefetch: int = 3,
        *,
        rank: int = 0,
        world_size: int = 1,
        length_settings: str = SYNC_LENGTH_SETTINGS,
    ) -> None:
        require_equal_shares(clips_per_batch, world_size)
        self._stream, self._cut, self._clips_per_batch = stream, cut, clips_per_batch
        num_own = clips_per_batch // world_size
        self._own = range(rank * num_own, (rank + 1) * num_own)
        self._prefetcher: Prefetcher[tuple[dict[str, torch.Tensor], dict[str, Any]]] | None = None
        self._prefetch = prefetch
        self._length_settings = length_settings

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._stream.load_state_dict(state)

    @property
    def wait_seconds(self) -> float:
        return self._prefetcher.wait_seconds if self._prefetcher else 0.0

    def __iter__(self) -> Iterator[tuple[dict[str, torch.Tensor], dict[str, Any]]]:
        self._prefetcher = Prefetcher(self._batches(), self._prefetch)
        return iter(self._prefetcher)

    def close(self) -> None:
        if self._prefetcher:
            self._prefetcher.close()

    def _batches(self) -> Iterator[tuple[dict[str, torch.Tensor], dict[str, Any]]]:
        if self._stream.num_clips < self._clips_per_batch:
            raise UserError(
                f"{self._stream.num_clips} training clips are fewer than clips_per_batch {self._clips_per_batch}: a "
                "batch would contain a clip twice, with its own audio as negatives; lower this stage's "
                "clips_per_batch in params.yaml"
            )
        items: dict[str, Item | None] = {}  # None: the clip belongs to another process's share
        num_skipped = 0
        for clip in self._stream:
            # A batch at the boundary of two epochs can contain a key twice.
            if clip.key in items or not self._cut.has_room(clip):
                num_skipped += 1
                if num_skipped > 2 * self._stream.num_clips:  # all clips were tried since the last one that fits
                    raise UserError(
                        f"only {len(items)} of {self._stream.num_clips} training clips are long enough for their "
                        f"windows, and a batch needs {self._clips_per_batch}; lower this stage's clips_per_batch, "
                        f"{self._length_settings}, or raise preprocess.min_frames, in params.yaml"
                    )
                continue
            num_skipped = 0
            items[clip.key] = self._cut(clip, clip.rng) if len(items) in self._own else None
            if len(items) == self._clips_per_batch:
                cut = [item for item in items.values() if item is not None]
                batch = {name: torch.from_numpy(np.stack([i[name] for i in cut])) for name in cut[0]}
                yield batch, self._stream.state_dict()
                items = {}
