"""Processes the clips of one shard to a tar. Writes only to a temporary folder of its own machine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pipeline.faces.crops import CROP_PX
from pipeline.faces.detector import limit_opencv_threads
from pipeline.params import PreprocessParams
from pipeline.preprocess.clip import process_clip
from pipeline.preprocess.plan import ShardResult, ShardTask
from pipeline.shards.index import Reject
from pipeline.shards.write import ClipSample, write_shard


class PackedShard(NamedTuple):
    """A shard's result and its tar, ``uint8 [bytes]``, or None if all clips were rejected.

    The tar is an array because Ray transfers arrays without a copy.
    """

    result: ShardResult
    tar: NDArray[np.uint8] | None


def process_shard(task: ShardTask, params: PreprocessParams, root: Path, crop_px: int = CROP_PX) -> PackedShard:
    """Process a shard's clips sequentially on one thread. Relative paths start at ``root``.

    ``crop_px``: side of the face crops in pixels. Raises the errors of ``process_clip``.
    """
    rejects: list[Reject] = []

    def samples() -> Iterator[ClipSample]:
        for made in chain.from_iterable(process_clip(record, params, root, crop_px) for record in task.records):
            if isinstance(made, Reject):
                rejects.append(made)
            else:
                yield made

    with _one_thread(), tempfile.TemporaryDirectory(prefix="lipsmith-") as folder:
        kept = samples()
        first = next(kept, None)
        if first is None:
            return PackedShard(ShardResult(task.name, (), tuple(rejects)), None)
        rows = write_shard(Path(folder), task.name, chain([first], kept))
        # Mapped, not read: the bytes stay on disk until the transfer, although the folder is deleted.
        tar = np.asarray(np.memmap(Path(folder) / task.name, np.uint8, "r"))
    return PackedShard(ShardResult(task.name, tuple(rows), tuple(rejects)), tar)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limit OpenCV and BLAS to one thread: cores are already in use, and BLAS sums depend on the thread count."""
    before = limit_opencv_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        limit_opencv_threads(before)
