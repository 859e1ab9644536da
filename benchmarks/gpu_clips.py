"""Training clips in one file that numpy opens: for training without OpenCV, PyArrow and WebDataset.

The file is an npz archive with the JPEG files of all face crops, the mel spectrograms, and a JSON description.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.core.choices import CropGeometry
from pipeline.core.errors import UserError

CLIPS_NAME = "clips.npz"


@dataclass(frozen=True, eq=False)
class EncodedClip:
    """A clip as the file stores it. ``jpegs``: one face crop each; ``mel``: float32 [L, 80]."""

    key: str
    split: str
    jpegs: Sequence[bytes]
    mel: NDArray[np.float32]

    @property
    def num_bytes(self) -> int:
        return sum(map(len, self.jpegs)) + self.mel.nbytes


@dataclass(frozen=True, eq=False)
class PackedClip:
    """A decoded clip with what the training of a generator uses of `pipeline.shards.clip.Clip`."""

    key: str
    geometry: CropGeometry
    images: NDArray[np.uint8] = field(repr=False)
    """uint8 [N, S, S, 3] BGR. S: train_gan.face_px."""
    mel: NDArray[np.float32] = field(repr=False)
    """float32 [L, 80], 80 columns/s."""
    rng: np.random.Generator

    @property
    def num_frames(self) -> int:
        return len(self.images)

    def crops(self, indices: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """The face crops at the frame indices."""
        return self.images[indices]


def save_clips(path: Path, clips: Sequence[EncodedClip], geometry: CropGeometry) -> None:
    """Write clips to ``path``. ``geometry``: that of their face crops."""
    described = [
        {"key": clip.key, "split": clip.split, "frame_bytes": list(map(len, clip.jpegs)), "columns": len(clip.mel)}
        for clip in clips
    ]
    text = json.dumps({"geometry": geometry, "clips": described})
    jpegs = b"".join(jpeg for clip in clips for jpeg in clip.jpegs)
    with path.open("wb") as file:
        np.savez(
            file,
            description=np.frombuffer(text.encode(), np.uint8),
            jpegs=np.frombuffer(jpegs, np.uint8),
            mel=np.concatenate([clip.mel for clip in clips]),
        )


def load_clips(path: Path) -> dict[str, list[PackedClip]]:
    """The decoded clips of each split. Raises UserError if the file is missing or damaged."""
    if not path.is_file():
        raise UserError(f"{path} does not exist; `benchmarks/gpu.sh pack` writes it")
    try:
        with np.load(path) as stored:
            content = json.loads(stored["description"].tobytes())
            jpegs, mel = stored["jpegs"].tobytes(), stored["mel"]
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged or incomplete ({error}); copy it here again") from None
    described = content["clips"]
    sizes = [size for clip in described for size in clip["frame_bytes"]]
    starts = np.cumsum([0, *sizes])
    with ThreadPoolExecutor() as pool:
        images = np.stack(list(pool.map(_decode, (jpegs[s : s + n] for s, n in zip(starts[:-1], sizes, strict=True)))))
    clips: dict[str, list[PackedClip]] = {}
    frame = column = 0
    for clip in described:
        num_frames, num_columns = len(clip["frame_bytes"]), clip["columns"]
        packed = PackedClip(
            clip["key"],
            content["geometry"],
            images[frame : frame + num_frames],
            mel[column : column + num_columns],
            np.random.default_rng(0),
        )
        clips.setdefault(clip["split"], []).append(packed)
        frame, column = frame + num_frames, column + num_columns
    return clips


def _decode(jpeg: bytes) -> NDArray[np.uint8]:
    """A JPEG file as uint8 [H, W, 3] BGR."""
    with Image.open(io.BytesIO(jpeg)) as image:
        return np.asarray(image.convert("RGB"))[..., ::-1]


class PackedStream(Iterator[PackedClip]):
    """An endless shuffled stream of clips. The order depends only on the seed and the epoch."""

    def __init__(self, clips: Sequence[PackedClip], seed: int) -> None:
        self._clips, self._seed = clips, seed
        self._epoch = self._clips_seen = 0

    @property
    def num_clips(self) -> int:
        return len(self._clips)

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self._epoch, "clips_seen": self._clips_seen}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self._epoch, self._clips_seen = state["epoch"], state["clips_seen"]

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> PackedClip:
        if self._clips_seen == len(self._clips):
            self._epoch, self._clips_seen = self._epoch + 1, 0
        order = np.random.default_rng([self._seed, self._epoch]).permutation(len(self._clips))
        index = int(order[self._clips_seen])
        self._clips_seen += 1
        return replace(self._clips[index], rng=np.random.default_rng([self._seed, self._epoch, 1, index]))
