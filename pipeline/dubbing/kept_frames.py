"""Writes the frames of a dub to a folder, all of them or none."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core import atomic
from pipeline.core.errors import UserError
from pipeline.media.image import write_png
from pipeline.media.picture import StoredPicture, to_bgr


@contextmanager
def kept_frames(folder: Path | None) -> Iterator[Callable[[StoredPicture], None]]:
    """Yield a function that writes one frame as ``frame_000001.png`` and so on.

    The folder appears at the end, if there was no error. None writes nothing. Raises UserError for a folder that is not
    empty.
    """
    if folder is None:
        yield lambda image: None
        return
    require_empty(folder)
    with atomic.replacing_folder(folder) as temporary:
        numbers = itertools.count(1)
        yield lambda image: write_png(temporary / f"frame_{next(numbers):06d}.png", to_bgr(image))


def require_empty(folder: Path) -> None:
    """Raises UserError unless the folder is new or empty.

    Also removes what earlier dubs to the folder left behind when they were killed.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--keep-frames {folder} exists and is not an empty folder; give another folder")
    atomic.remove_abandoned(folder)
