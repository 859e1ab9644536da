"""Folder of what all rows of a comparison share: features of the real crops, and offsets of the real clips."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from pipeline.core.code_digest import Code
from pipeline.core.layout import CODE_ROOT


def open_cache(scratch_dir: Path) -> Path:
    """The folder for the present code of the stage ``evaluate``. What other code has left is removed.

    Its content was computed by this code, so it stays valid until the code changes.
    """
    folder = scratch_dir / "cache"
    present = folder / hashlib.sha256(Code(CODE_ROOT).digest("evaluate").encode()).hexdigest()[:12]
    for other in folder.iterdir() if folder.is_dir() else ():
        if other != present:
            shutil.rmtree(other, ignore_errors=True) if other.is_dir() else other.unlink(missing_ok=True)
    return present
