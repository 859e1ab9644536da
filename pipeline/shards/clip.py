"""One preprocessed clip as read from a shard; pictures are decoded when asked for."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.media.mjpeg import decode_mjpeg

PARTS = {"frames": "frames.mjpeg", "context": "context.mjpeg", "mel": "mel.npy", "audio": "audio.npy"}
"""What may be left unread, and its member of the sample. The description (JSON) is always read."""

Indices = Sequence[int] | NDArray[np.integer[Any]]


class Clip:
    """One clip. Asking for a part that was not read raises ValueError naming the part.

    ``rng`` is the clip's own generator, seeded by (seed, epoch, key) in a stream: whatever is drawn
    from it is the same after a resume.
    """

    def __init__(self, key: str, shard: str, members: Mapping[str, bytes], rng: np.random.Generator) -> None:
        """Parse a sample's members; raises ValueError if they are damaged or disagree."""
        if "json" not in members:
            raise ValueError("its description (json) is missing")
        described: dict[str, Any] = json.loads(members["json"])
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
            self.crop_in_context = np.asarray(described["crop_in_context"], np.float32)
            sizes = {"frames": described["frame_bytes"], "context": described["context_bytes"]}
        except KeyError as error:
            raise ValueError(f"its description lacks {error}") from error
        self._pictures: dict[str, tuple[bytes, list[int]]] = {}
        for part, part_sizes in sizes.items():
            if (content := members.get(PARTS[part])) is not None:
                if len(part_sizes) != self.num_frames or sum(part_sizes) != len(content):
                    raise ValueError(f"{PARTS[part]} has {len(content)} bytes, its frames {sum(part_sizes)}")
                self._pictures[part] = (content, part_sizes)
        self._arrays = {
            part: np.load(io.BytesIO(members[PARTS[part]]), allow_pickle=False)
            for part in ("mel", "audio")
            if PARTS[part] in members
        }

    def __repr__(self) -> str:
        return f"Clip({self.clip_id!r}, {self.num_frames} frames, {self.shard})"

    def crops(self, indices: Indices | None = None) -> NDArray[np.uint8]:
        """Tight face crops ``uint8 [k, H, W, 3]`` BGR at the frame indices (all by default)."""
        return self._decode("frames", indices)

    def context(self, indices: Indices | None = None) -> NDArray[np.uint8]:
        """Wide face crops ``uint8 [k, H, W, 3]`` BGR at the frame indices (all by default)."""
        return self._decode("context", indices)

    def jpegs(self, part: str) -> bytes:
        """The pictures of part ``frames`` or ``context`` as they are stored."""
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
        return decode_mjpeg(content, sizes, indices)

    def _array(self, part: str) -> NDArray[Any]:
        if part not in self._arrays:
            raise _not_read(self, part)
        return self._arrays[part]


def _not_read(clip: Clip, part: str) -> ValueError:
    return ValueError(f"{clip}: part {part!r} was not read; add it to parts")


def members_of(parts: Collection[str]) -> set[str]:
    """Member names of the parts, description included. Raises ValueError for an unknown part."""
    if unknown := set(parts) - set(PARTS):
        raise ValueError(f"unknown parts {sorted(unknown)}; there are {', '.join(PARTS)}")
    return {"json", *(PARTS[part] for part in parts)}


def clip_rng(seed: int, epoch: int, key: str) -> np.random.Generator:
    """A generator that depends on these three only."""
    digest = hashlib.sha256(key.encode()).digest()
    return np.random.default_rng([seed, epoch, int.from_bytes(digest[:8], "big")])
