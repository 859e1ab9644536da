"""One preprocessed clip as read from a shard; pictures are decoded when asked for."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import DataError
from pipeline.features.alignment import num_samples_of
from pipeline.features.mel import mel_spectrogram
from pipeline.features.samples import int16_to_float
from pipeline.media.mjpeg import decode_mjpeg

PARTS = {"frames": "frames.mjpeg", "context": "context.mjpeg", "mel": "mel.npy", "audio": "audio.npy"}
"""What may be left unread, and its member of the sample. The description (JSON) is always read."""

Indices = Sequence[int] | NDArray[np.integer[Any]]


class Clip:
    """One clip. Asking for a part that was not read raises ValueError naming the part.

    ``rng`` is the clip's own generator, seeded by (seed, epoch, key) in a stream: whatever is drawn
    from it is the same after a resume.
    """

    def __init__(
        self, key: str, shard: str, members: Mapping[str, bytes], rng: np.random.Generator, offset_frames: int = 0
    ) -> None:
        """Parse a sample's members; raises DataError if they are damaged or disagree.

        ``offset_frames``: the stored audio leads the stored video by so many frames (trails it if negative). What the
        other has no counterpart for is left out at the ends, so that the clip is in sync and shorter.
        """
        if "json" not in members:
            raise DataError("its description (json) is missing")
        described = _description(members["json"])
        self.key, self.shard, self.rng = key, shard, rng
        try:
            self.clip_id: str = described["clip_id"]
            self.speaker: str = described["speaker"]
            self.split: str = described["split"]
            self.fps: float = described["fps"]
            self.num_frames: int = described["num_frames"]
            self.num_samples: int = described["num_samples"]
            self.transcript: str = described["transcript"]
            self.source: str = described["source"]
            self.stats: dict[str, float] = described["stats"]
            self.crop_in_context = _boxes(described["crop_in_context"])
            sizes = {"frames": described["frame_bytes"], "context": described["context_bytes"]}
        except KeyError as error:
            raise DataError(f"its description lacks {error}") from error
        self._pictures: dict[str, tuple[bytes, list[int]]] = {}
        for part, part_sizes in sizes.items():
            if (content := members.get(PARTS[part])) is not None:
                if len(part_sizes) != self.num_frames or sum(part_sizes) != len(content):
                    raise DataError(f"{PARTS[part]} has {len(content)} bytes, its frames {sum(part_sizes)}")
                self._pictures[part] = (content, part_sizes)
        self._arrays = {
            part: _array_in(members[PARTS[part]], PARTS[part]) for part in ("mel", "audio") if PARTS[part] in members
        }
        self._first_frame = 0
        if offset_frames:
            self._correct(offset_frames)

    def __repr__(self) -> str:
        return f"Clip({self.clip_id!r}, {self.num_frames} frames, {self.shard})"

    def crops(self, indices: Indices | None = None) -> NDArray[np.uint8]:
        """Tight face crops ``uint8 [k, H, W, 3]`` BGR at the frame indices (all by default)."""
        return self._decode("frames", indices)

    def context(self, indices: Indices | None = None) -> NDArray[np.uint8]:
        """Wide face crops ``uint8 [k, H, W, 3]`` BGR at the frame indices (all by default)."""
        return self._decode("context", indices)

    def _correct(self, offset_frames: int) -> None:
        self.num_frames -= abs(offset_frames)
        if self.num_frames < 1:
            raise DataError(f"an offset of {offset_frames} frames leaves nothing of it")
        self._first_frame = max(0, offset_frames)
        self.crop_in_context = self.crop_in_context[self._first_frame :][: self.num_frames]
        self.num_samples = num_samples_of(self.num_frames)
        if (audio := self._arrays.pop("audio", None)) is not None:
            self._arrays["audio"] = audio[num_samples_of(max(0, -offset_frames)) :][: self.num_samples]
        if self._arrays.pop("mel", None) is not None:  # its columns do not fall on frames
            self._arrays["mel"] = mel_spectrogram(int16_to_float(self.audio))

    def jpegs(self, part: str) -> bytes:
        """All pictures of part ``frames`` or ``context`` as they are stored, those before a correction included."""
        if part not in self._pictures:
            raise _not_read(self, part)
        return self._pictures[part][0]

    @property
    def mel(self) -> NDArray[np.float32]:
        """``float32 [L, 80] in [-4, 4]``, 80 columns per second."""
        return self._array("mel")

    @property
    def audio(self) -> NDArray[np.int16]:
        """``int16 [n]``, 16 kHz mono."""
        return self._array("audio")

    def _decode(self, part: str, indices: Indices | None) -> NDArray[np.uint8]:
        if part not in self._pictures:
            raise _not_read(self, part)
        content, sizes = self._pictures[part]
        wanted = np.arange(self.num_frames) if indices is None else np.asarray(indices)
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < self.num_frames):
            raise IndexError(f"{self}: frames {wanted.min()} to {wanted.max()} are asked for")
        try:
            return decode_mjpeg(content, sizes, wanted + self._first_frame)
        except DataError as error:
            raise DataError(f"{self}: {PARTS[part]}: {error}") from error

    def _array(self, part: str) -> NDArray[Any]:
        if part not in self._arrays:
            raise _not_read(self, part)
        return self._arrays[part]


def _description(content: bytes) -> dict[str, Any]:
    try:
        described = json.loads(content)
    except ValueError as error:  # no JSON, or no text
        raise DataError(f"its description is no JSON: {error}") from error
    if not isinstance(described, dict):
        raise DataError(f"its description is {type(described).__name__}, not an object")
    return described


def _boxes(values: Any) -> NDArray[np.float32]:
    try:
        return np.asarray(values, np.float32)
    except (ValueError, TypeError) as error:  # ragged, or no numbers
        raise DataError(f"its crop_in_context is no table of numbers: {error}") from error


def _array_in(content: bytes, name: str) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:  # no array, an empty file, one that ends too early
        raise DataError(f"{name} is damaged: {error}") from error
    return array


def _not_read(clip: Clip, part: str) -> ValueError:
    return ValueError(f"{clip}: part {part!r} was not read; add it to parts")


def members_of(parts: Collection[str], *, with_offsets: bool = False) -> set[str]:
    """Member names of the parts, description included. Raises ValueError for an unknown part.

    ``with_offsets``: clips will be corrected, and a corrected mel is made from the audio.
    """
    if unknown := set(parts) - set(PARTS):
        raise ValueError(f"unknown parts {sorted(unknown)}; there are {', '.join(PARTS)}")
    needed = {*parts, "audio"} if with_offsets and "mel" in parts else set(parts)
    return {"json", *(PARTS[part] for part in needed)}


def clip_rng(seed: int, epoch: int, key: str) -> np.random.Generator:
    """A generator that depends on these three only."""
    digest = hashlib.sha256(key.encode()).digest()
    return np.random.default_rng([seed, epoch, int.from_bytes(digest[:8], "big")])
