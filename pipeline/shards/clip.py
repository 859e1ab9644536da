"""One preprocessed clip from a shard. Frames are decoded on demand."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.choices import UNNAMED_GEOMETRY, CropGeometry
from pipeline.core.errors import DataError, UserError
from pipeline.faces.crops import CONTEXT_MARGIN, CROP_PX, Cropper, resized_crops
from pipeline.features.alignment import num_samples_of
from pipeline.features.mel import mel_spectrogram
from pipeline.features.samples import int16_to_float
from pipeline.media.mjpeg import decode_mjpeg

PARTS = {"frames": "frames.mjpeg", "context": "context.mjpeg", "mel": "mel.npy", "audio": "audio.npy"}
"""Optional parts of a clip and their member names in the sample. The description (JSON) is always read."""

REMAKE_CLIPS = "run `dvc repro sync_filter`"

Indices = Sequence[int] | NDArray[np.integer[Any]]


class Clip:
    """One clip. Access to a part that was not read raises ValueError with the part's name.

    ``rng`` is the clip's random generator. A stream seeds it with (seed, epoch, key), so a resumed stream repeats the
    same values.
    """

    def __init__(
        self, key: str, shard: str, members: Mapping[str, bytes], rng: np.random.Generator, offset_frames: int = 0
    ) -> None:
        """Parse a sample's members. Raises DataError if they are damaged or inconsistent.

        ``offset_frames`` is the lead of the stored audio over the stored video, in frames; negative if it lags. The
        offset is removed: unmatched audio and frames at the ends are dropped, which shortens the clip.
        """
        if "json" not in members:
            raise DataError("its description (member json) is missing")
        description = _description(members["json"])
        self.key, self.shard, self.rng = key, shard, rng
        try:
            self.clip_id: str = description["clip_id"]
            self.speaker: str = description["speaker"]
            self.split: str = description["split"]
            self.fps: float = description["fps"]
            self.num_frames: int = description["num_frames"]
            self.num_samples: int = description["num_samples"]
            self.transcript: str = description["transcript"]
            self.source: str = description["source"]
            self.stats: dict[str, float] = description["stats"]
            self.geometry: CropGeometry = description.get("crop", UNNAMED_GEOMETRY)
            self.crop_px: int = description.get("crop_px", CROP_PX)
            """Side of the face crops in pixels."""
            self.cut_px = self.crop_px
            """Side of the face crops as they were cut, in pixels; they are resized to ``crop_px``."""
            self.crop_in_context = _boxes(description["crop_in_context"])
            others: dict[CropGeometry, Any] = description.get("other_crops_in_context", {})
            self._boxes_of = {self.geometry: self.crop_in_context, **{name: _boxes(others[name]) for name in others}}
            sizes = {"frames": description["frame_bytes"], "context": description["context_bytes"]}
        except KeyError as error:
            raise DataError(f"its description lacks {error}") from error
        for name, boxes in self._boxes_of.items():
            if boxes.shape != (self.num_frames, 4):
                raise DataError(f"its boxes of {name} have the shape {boxes.shape}, expected {(self.num_frames, 4)}")
        self._pictures: dict[str, tuple[bytes, list[int]]] = {}
        for part, part_sizes in sizes.items():
            if (content := members.get(PARTS[part])) is not None:
                if len(part_sizes) != self.num_frames or sum(part_sizes) != len(content):
                    raise DataError(
                        f"{PARTS[part]} has {len(content)} bytes; its description states {len(part_sizes)} images with "
                        f"{sum(part_sizes)} bytes for {self.num_frames} frames"
                    )
                self._pictures[part] = (content, part_sizes)
        self._arrays = {
            part: _array_in(members[PARTS[part]], PARTS[part]) for part in ("mel", "audio") if PARTS[part] in members
        }
        self._cut_again: Cropper | None = None
        """Cuts the face crops out of the context crops; None if the face crops are stored."""
        self._first_frame = 0
        if offset_frames:
            self._remove_offset(offset_frames)

    def __repr__(self) -> str:
        return f"Clip({self.clip_id!r}, {self.num_frames} frames, {self.shard})"

    def crops(self, indices: Indices | None = None) -> NDArray[np.uint8]:
        """Face crops ``uint8 [k, crop_px, crop_px, 3]`` BGR at the frame indices (all by default)."""
        crops = self._cut_crops(indices)
        return crops if self.crop_px == self.cut_px else resized_crops(crops, self.crop_px)

    def _cut_crops(self, indices: Indices | None) -> NDArray[np.uint8]:
        if self._cut_again is None:
            return self._decode("frames", indices)
        wanted = np.arange(self.num_frames) if indices is None else np.asarray(indices)
        images = self.context(wanted)
        return np.stack([self._cut_again(image, index) for image, index in zip(images, wanted, strict=True)])

    def context(self, indices: Indices | None = None) -> NDArray[np.uint8]:
        """Context crops ``uint8 [k, H, W, 3]`` BGR at the frame indices (all by default)."""
        return self._decode("context", indices)

    def recut(self, geometry: CropGeometry, crop_px: int = CROP_PX) -> Clip:
        """The clip with face crops of ``geometry`` and ``crop_px``: itself, or a copy.

        A copy with smaller crops of the same geometry resizes them. Other copies cut them out of the context crops, so
        that ``crops`` needs the part ``context``. Raises UserError if the shard lacks the boxes of the geometry, or if
        the context crops are too small.
        """
        if (geometry, crop_px) == (self.geometry, self.crop_px):
            return self
        other = copy.copy(self)
        other.crop_px = crop_px
        if geometry != self.geometry or crop_px > self.cut_px:
            boxes = self._boxes_to_cut(geometry, crop_px)
            other.geometry, other.crop_in_context, other.cut_px = geometry, boxes, crop_px
            other._cut_again = Cropper(boxes.astype(np.float64), crop_px, of_crops=True)
        return other

    def _boxes_to_cut(self, geometry: CropGeometry, crop_px: int) -> NDArray[np.float32]:
        """Boxes of the geometry in the context crops, where crops of ``crop_px`` can be cut. Raises UserError."""
        needed = f"{self.clip_id}: the crops have {self.crop_px} px, but the model needs {crop_px}"
        setting = f"train_gan.face_px to {crop_px}"
        if geometry != self.geometry:
            needed = f"{self.clip_id}: the crops have the geometry {self.geometry}, but the model needs {geometry}"
            setting = f"preprocess.crop to {geometry}"
        boxes = self._boxes_of.get(geometry)
        if boxes is None:
            raise UserError(
                f"{needed}. An earlier version wrote the shard without the boxes of this geometry. Run `dvc repro "
                "--force --single-item preprocess`, then `dvc repro sync_filter`"
            )
        side_px = float(np.median((boxes[:, 2:] - boxes[:, :2]).max(axis=1)))
        if side_px < crop_px:
            raise UserError(
                f"{needed}. The context crops show it at {side_px:.0f} px, below the {crop_px} px of a crop. In "
                f"params.yaml, set {setting}, or preprocess.context_px to at least "
                f"{math.ceil(crop_px * (1 + CONTEXT_MARGIN))}, and run `dvc repro sync_filter`"
            )
        return boxes

    def _remove_offset(self, offset_frames: int) -> None:
        self.num_frames -= abs(offset_frames)
        if self.num_frames < 1:
            raise DataError(f"a sync offset of {offset_frames} frames exceeds its length")
        self._first_frame = max(0, offset_frames)
        kept = slice(self._first_frame, self._first_frame + self.num_frames)
        self._boxes_of = {geometry: boxes[kept] for geometry, boxes in self._boxes_of.items()}
        self.crop_in_context = self._boxes_of[self.geometry]
        self.num_samples = num_samples_of(self.num_frames)
        if (audio := self._arrays.pop("audio", None)) is not None:
            self._arrays["audio"] = audio[num_samples_of(max(0, -offset_frames)) :][: self.num_samples]
        if self._arrays.pop("mel", None) is not None:  # mel columns are not aligned with frames
            self._arrays["mel"] = mel_spectrogram(int16_to_float(self.audio))

    def jpegs(self, part: str) -> bytes:
        """All stored JPEG frames of part ``frames`` or ``context``, including those that an offset correction drops."""
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
            raise IndexError(f"{self}: frame indices {wanted.min()} to {wanted.max()} are out of range")
        try:
            return decode_mjpeg(content, sizes, wanted + self._first_frame)
        except DataError as error:
            raise DataError(f"{self}: {PARTS[part]}: {error}; {REMAKE_CLIPS}") from error

    def _array(self, part: str) -> NDArray[Any]:
        if part not in self._arrays:
            raise _not_read(self, part)
        return self._arrays[part]


def _description(content: bytes) -> dict[str, Any]:
    try:
        description = json.loads(content)
    except ValueError as error:  # not JSON, or not text
        raise DataError(f"its description is not valid JSON: {error}") from error
    if not isinstance(description, dict):
        raise DataError(f"its description is {type(description).__name__}, not a JSON object")
    return description


def _boxes(values: Any) -> NDArray[np.float32]:
    try:
        return np.asarray(values, np.float32)
    except (ValueError, TypeError) as error:  # ragged, or not numeric
        raise DataError(f"its crop_in_context is not a numeric table: {error}") from error


def _array_in(content: bytes, name: str) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:  # not an array, an empty file, or a truncated one
        raise DataError(f"{name} is damaged: {error}") from error
    return array


def _not_read(clip: Clip, part: str) -> ValueError:
    return ValueError(f"{clip}: part {part!r} was not read; add it to parts")


def picture_part(stored: CropGeometry, wanted: CropGeometry) -> str:
    """The part of a clip with crops ``stored`` that ``recut(wanted).crops`` reads: ``frames`` or ``context``."""
    return "frames" if stored == wanted else "context"


def members_of(parts: Collection[str], *, with_offsets: bool = False) -> set[str]:
    """Member names of the parts and the description. Raises ValueError for an unknown part.

    ``with_offsets``: clips get an offset correction, which computes the mel spectrogram from the audio.
    """
    if unknown := set(parts) - set(PARTS):
        raise ValueError(f"unknown parts {sorted(unknown)}; known are {', '.join(PARTS)}")
    needed = {*parts, "audio"} if with_offsets and "mel" in parts else set(parts)
    return {"json", *(PARTS[part] for part in needed)}


def clip_rng(seed: int, epoch: int, key: str) -> np.random.Generator:
    """A random generator that depends only on ``seed``, ``epoch`` and ``key``."""
    digest = hashlib.sha256(key.encode()).digest()
    return np.random.default_rng([seed, epoch, int.from_bytes(digest[:8], "big")])
