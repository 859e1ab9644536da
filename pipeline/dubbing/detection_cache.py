"""Keeps the face detections of videos on disk, so that another dub of the same video does not search it again."""

from __future__ import annotations

import hashlib
import logging
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline import faces
from pipeline.core import atomic
from pipeline.core.cache_folder import limit_size, mark_used
from pipeline.core.digest import sha256_of
from pipeline.core.versions import version_of
from pipeline.faces.detector import Detection, FaceDetector, ReducedDetector, find_yunet_weights
from pipeline.faces.gaps import GapDetector
from pipeline.media.picture_folder import open_pictures

logger = logging.getLogger(__name__)

MAX_BYTES = 1_000_000_000
"""Largest size of a cache folder. A minute of video at 25 frames a second with one face takes about 0.2 MB."""
_POINT_VALUES = 10  # x and y of 5 landmarks
StoredFrame = tuple[int, Sequence[Detection]]
"""CRC-32 of a frame's pixels, and the faces in it."""


class DetectionCache:
    """Files of detections in ``folder``, named by the digest of the video and of the detector.

    ``detector_settings``: the numbers that the detectors depend on. With another version of OpenCV or of the code that
    detects, faces are searched again. The least recently used files are removed above ``max_bytes``; the folder must
    hold nothing else. Not for several threads.
    """

    def __init__(self, folder: Path, detector_settings: Sequence[float], max_bytes: int = MAX_BYTES) -> None:
        self._folder, self._detector_key, self._max_bytes = folder, _detector_key(detector_settings), max_bytes
        self._video_sha256: str | None = None
        self._used: list[StoredDetector] = []

    @contextmanager
    def of_video(self, path: Path, fps: float | None = None) -> Iterator[None]:
        """In this block, the wrapped detectors must search the frames of this video only.

        The detections are written at the end, even after an error. Arguments and errors as in ``open_pictures``.
        """
        with open_pictures(path, fps) as video:
            self._video_sha256 = video.sha256
        try:
            yield
        finally:
            self._video_sha256 = None
            for detector in self._used:
                detector.save()
            self._used.clear()
            limit_size(self._folder, self._max_bytes)

    def wrap(self, detectors_for: Callable[[int], Iterable[FaceDetector]]) -> Callable[[int], Iterable[FaceDetector]]:
        """The detectors, which store what they find while a block of ``of_video`` runs."""

        def stored_for(longer_side: int) -> Iterator[FaceDetector]:
            for index, detector in enumerate(detectors_for(longer_side)):
                if self._video_sha256 is None:
                    yield detector
                    continue
                name = f"{self._video_sha256}-{self._detector_key}-{index}.npz"
                stored = _stored(detector, self._folder / name)
                self._used.append(stored)
                yield GapDetector(stored) if isinstance(detector, GapDetector) else stored

        return stored_for


class StoredDetector:
    """A detector that is called with frames of one video, always in the same order, and stores what it finds.

    A stored detection is used only if the frame has the same pixels.
    """

    def __init__(self, detector: FaceDetector, path: Path) -> None:
        self._detector, self._path = detector, path
        self._frames = _read(path)
        self._position, self._has_new = 0, False

    def detect(self, frame_bgr: NDArray[np.uint8]) -> list[Detection]:
        """As ``FaceDetector.detect``."""
        return self._found(frame_bgr, lambda: self._detector.detect(frame_bgr))

    def _found(self, image: NDArray[np.uint8], search: Callable[[], list[Detection]]) -> list[Detection]:
        """What is stored of the next frame, which ``image`` shows, or else what ``search()`` finds."""
        checksum = zlib.crc32(np.ascontiguousarray(image).data)
        if self._position < len(self._frames) and self._frames[self._position][0] == checksum:
            found = list(self._frames[self._position][1])
        else:
            found = search()
            self._frames[self._position :] = [(checksum, found)]
            self._has_new = True
        self._position += 1
        return found

    def save(self) -> None:
        """Write the detections if some are new. A folder that cannot be written is logged, since no result needs it."""
        if not self._has_new:
            return
        try:
            with atomic.replacing(self._path) as temporary:
                _write(temporary, self._frames)
        except OSError as error:
            logger.warning("the detected faces are not stored: %s", error)


class _StoredReducedDetector(StoredDetector):
    """A `StoredDetector` that is a `ReducedDetector`."""

    def __init__(self, detector: ReducedDetector, path: Path) -> None:
        super().__init__(detector, path)
        self._reduced = detector.of_video()

    def of_video(self) -> Self:
        """As of `ReducedDetector`. It is made for one video."""
        return self

    @property
    def max_px(self) -> int:
        return self._reduced.max_px

    def detect_reduced(self, reduced_bgr: NDArray[np.uint8], whole: Callable[[], NDArray[np.uint8]]) -> list[Detection]:
        """As of `ReducedDetector`."""
        return self._found(reduced_bgr, lambda: self._reduced.detect_reduced(reduced_bgr, whole))


def _stored(detector: FaceDetector, path: Path) -> StoredDetector:
    if isinstance(detector, ReducedDetector):
        return _StoredReducedDetector(detector, path)
    return StoredDetector(detector, path)


def _detector_key(settings: Sequence[float]) -> str:
    digest = hashlib.sha256(repr((list(settings), version_of("opencv-python-headless"))).encode())
    for path in (find_yunet_weights(), *sorted(Path(faces.__path__[0]).glob("*.py"))):
        digest.update(sha256_of(path).encode())
    return digest.hexdigest()[:16]


def _write(path: Path, frames: Sequence[StoredFrame]) -> None:
    rows = [np.concatenate([face.box, face.landmarks.ravel(), [face.score]]) for _, found in frames for face in found]
    np.savez(
        path,
        checksums=np.array([checksum for checksum, _ in frames], np.uint32),
        counts=np.array([len(found) for _, found in frames], np.int64),
        faces=np.array(rows, np.float64).reshape(-1, 4 + _POINT_VALUES + 1),
    )


def _read(path: Path) -> list[StoredFrame]:
    """The stored frames; empty if there are none, or if the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            checksums, counts, rows = stored["checksums"].tolist(), stored["counts"], stored["faces"]
        mark_used(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return []
    detections = [Detection(row[:4], row[4:-1].reshape(5, 2), float(row[-1])) for row in rows]
    stops = np.cumsum(counts).tolist()
    found = [detections[stop - count : stop] for stop, count in zip(stops, counts.tolist(), strict=True)]
    return list(zip(checksums, found, strict=True))
