"""Making a video as long as the sound: which source frame is shown when, without holding the video in memory.

Forwards a video can be decoded again and again. Backwards it is decoded forwards in blocks, from the last block to the
first: each block is spooled, uncompressed, to a temporary file and read from its end. A video that fits into one block
is spooled only once.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.dubbing.choices import Fill

Frame = NDArray[np.uint8]
OpenFrames = Callable[[], Iterable[Frame]]
SPOOL_BYTES = 1 << 30
"""Largest temporary file, 1 GiB: 500 frames of 1024x720."""


def runs(num_source: int, num_shown: int, fill: Fill) -> Iterator[range]:
    """Source frames in the order they are shown, as straight runs that hold ``num_shown`` frames in all.

    ``pingpong`` turns at both ends without showing the end frame twice; ``loop`` starts over.
    """
    if num_source < 1:
        raise ValueError("there is no frame to show")
    there = range(num_source)
    back = range(num_source - 2, 0, -1)
    turn = (there, back) if fill == "pingpong" else (there,)
    for run in itertools.cycle(turn):
        if num_shown <= 0:
            return
        if run:
            yield run[:num_shown]
            num_shown -= len(run)


def play(
    open_frames: OpenFrames,
    num_source: int,
    num_shown: int,
    fill: Fill,
    scratch_dir: Path,
    spool_bytes: int = SPOOL_BYTES,
) -> Iterator[tuple[int, Frame]]:
    """Show ``num_shown`` frames of a video of ``num_source`` frames: pairs of source index and frame.

    ``open_frames()`` decodes the video from its first frame. A temporary file of at most ``spool_bytes`` (or one
    frame) lies in ``scratch_dir`` while a video runs backwards.
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
    """A block of consecutive frames in a temporary file without a name: it is gone with the process."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder, prefix=".lipsmith-")  # noqa: SIM115
        self._held = range(0)
        self._shape: tuple[int, ...] = ()

    def close(self) -> None:
        self._file.close()

    def backwards(self, open_frames: OpenFrames, run: range) -> Iterator[tuple[int, Frame]]:
        """The frames of a descending run."""
        for index in run:
            if index not in self._held:
                self._fill(open_frames, index)
            yield index, self._read(index)

    def _fill(self, open_frames: OpenFrames, last: int) -> None:
        """Hold frame ``last`` and as many frames before it as fit."""
        frames = iter(open_frames())
        first_frame = next(frames)
        self._shape = first_frame.shape
        num = max(1, min(last + 1, self._max_bytes // first_frame.nbytes))
        self._held = range(last + 1 - num, last + 1)
        self._file.seek(0)
        for index, frame in enumerate(itertools.chain([first_frame], frames)):
            if index in self._held:
                self._file.write(np.ascontiguousarray(frame).data)
            if index == last:
                return

    def _read(self, index: int) -> Frame:
        size = int(np.prod(self._shape))
        self._file.seek((index - self._held.start) * size)
        content: Any = np.frombuffer(self._file.read(size), np.uint8)
        frame: Frame = content.reshape(self._shape)
        return frame
