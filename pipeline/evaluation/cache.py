"""Folder of what all rows of a comparison share: features of the real crops, and offsets of the real clips."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from pipeline.core.code_digest import Code
from pipeline.core.layout import CODE_ROOT
from pipeline.core.versions import metric_package_versions


def open_cache(scratch_dir: Path) -> Path:
    """The folder for the present code of the stage ``evaluate`` and versions of packages. Other folders are removed.

    Its content stays valid until the code or a package changes.
    """
    folder = scratch_dir / "cache"
    made_by = Code(CODE_ROOT).digest("evaluate") + json.dumps(metric_package_versions(), sort_keys=True)
    present = folder / hashlib.sha256(made_by.encode()).hexdigest()[:12]
    for other in folder.iterdir() if folder.is_dir() else ():
        if other != present:
            shutil.rmtree(other, ignore_errors=True) if other.is_dir() else other.unlink(missing_ok=True)
    return present
