"""Writes the frames of a dub to a folder, all of them or none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import UserError
from pipeline.media.image import write_png


@contextmanager
def kept_frames(folder: Path | None) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """Yield a function that writes one frame, ``uint8 [H, W, 3]`` BGR, as ``frame_000001.png`` and so on.

    The folder appears at the end, if there was no error. None writes nothing. Raises UserError for a folder that is not
    empty.
    """
    if folder is None:
        yield lambda image: None
        return
    require_empty(folder)
    temporary = folder.absolute().with_name(f".{folder.name}.{os.getpid()}")
    temporary.mkdir(parents=True)
    num_written = 0

    def keep(image: NDArray[np.uint8]) -> None:
        nonlocal num_written
        num_written += 1
        write_png(temporary / f"frame_{num_written:06d}.png", image)

    try:
        yield keep
        if folder.is_dir():
            folder.rmdir()
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require_empty(folder: Path) -> None:
    """Raises UserError unless the folder is new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--keep-frames {folder} exists and is not an empty folder; give another folder")
