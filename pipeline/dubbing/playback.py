"""Extends a video to the length of the audio: selects the source frame of each output frame, in bounded memory.

Forward playback decodes the video again. Reverse playback decodes it in blocks, from the last block to the first. Each
block is written, uncompressed, to a temporary file and read from its end. A video that fits into one block is written
only once.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.dubbing.option_values import Fill
from pipeline.media.picture import StoredPicture, YuvPicture, planes_in, to_bgr

Frame = NDArray[np.uint8]
OpenPictures = Callable[[], Iterable[StoredPicture]]
SPOOL_BYTES = 1 << 30
"""Largest temporary file, 1 GiB: 950 frames of 1024x720 as they are stored, or 480 in BGR."""


def runs(num_source: int, num_shown: int, fill: Fill) -> Iterator[range]:
    """Yields source frame indices in display order, as ascending or descending ranges of ``num_shown`` in total.

    ``pingpong`` reverses at both ends without repeating the end frame; ``loop`` starts again. Raises ValueError if
    ``num_source`` is less than 1.
    """
    if num_source < 1:
        raise ValueError(f"num_source must be at least 1, got {num_source}")
    there = range(num_source)
    back = range(num_source - 2, 0, -1)
    turn = (there, back) if fill == "pingpong" else (there,)
    for run in itertools.cycle(turn):
        if num_shown <= 0:
            return
        if run:
            yield run[:num_shown]
            num_shown -= len(run)


def source_indices(num_source: int, num_shown: int, fill: Fill) -> NDArray[np.int64]:
    """The source frame of each output frame, as in ``runs``: int64 [num_shown]."""
    return np.concatenate([np.arange(run.start, run.stop, run.step) for run in runs(num_source, num_shown, fill)])


def play(
    open_frames: OpenPictures,
    num_source: int,
    num_shown: int,
    fill: Fill,
    scratch_dir: Path,
    spool_bytes: int = SPOOL_BYTES,
) -> Iterator[tuple[int, StoredPicture]]:
    """Yields ``num_shown`` pairs of source index and frame from a video of ``num_source`` frames.

    ``open_frames()`` decodes the video from its first frame. Reverse playback keeps a temporary file of at most
    ``spool_bytes`` (or one frame) in ``scratch_dir``.
    """
    spool: _Spool | None = None
    try:
        for run in runs(num_source, num_shown, fill):
            if run.step == 1:
                yield from zip(run, open_frames(), strict=False)
                continue
            if spool is None:
                spool = _Spool(scratch_dir, spool_bytes)
            yield from spool.backwards(open_frames, run)
    finally:
        if spool is not None:
            spool.close()


class _Spool:
    """A block of consecutive frames in an unnamed temporary file, which is deleted when the process ends."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder, prefix=".lipsmith-")  # noqa: SIM115
        self._held = range(0)
        self._first: StoredPicture

    def close(self) -> None:
        self._file.close()

    def backwards(self, open_frames: OpenPictures, run: range) -> Iterator[tuple[int, StoredPicture]]:
        """Yields index and frame of a descending range."""
        for index in run:
            if index not in self._held:
                self._fill(open_frames, index)
            yield index, self._read(index)

    def _fill(self, open_frames: OpenPictures, last: int) -> None:
        """Write frame ``last`` and as many preceding frames as fit."""
        frames = iter(open_frames())
        self._first = next(frames)
        num = max(1, min(last + 1, self._max_bytes // self._content(self._first).nbytes))
        self._held = range(last + 1 - num, last + 1)
        self._file.seek(0)
        for index, frame in enumerate(itertools.chain([self._first], frames)):
            if index in self._held:
                self._file.write(np.ascontiguousarray(self._content(frame)).data)
            if index == last:
                return

    def _read(self, index: int) -> StoredPicture:
        like = self._content(self._first)
        self._file.seek((index - self._held.start) * like.nbytes)
        content: Any = np.frombuffer(self._file.read(like.nbytes), np.uint8)
        content = content.reshape(like.shape)
        return self._first.with_planes(content) if isinstance(self._first, YuvPicture) else content

    def _content(self, picture: StoredPicture) -> NDArray[np.uint8]:
        """What the file holds of a picture: all are of the kind of the first one."""
        return planes_in(picture, self._first.convert) if isinstance(self._first, YuvPicture) else to_bgr(picture)
