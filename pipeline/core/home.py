"""Folders of libraries that keep state in the home directory, for users whose home directory cannot be written."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pipeline.core.layout import CODE_ROOT, Layout

_FOLDERS = {"PREFECT_HOME": "prefect", "MPLCONFIGDIR": "matplotlib", "NUMBA_CACHE_DIR": "numba"}
"""Variable -> folder below ``.scratch/home``. Without a folder Prefect's server does not start."""


def is_home_writable() -> bool:
    """Whether this user has a home directory and may create files in it."""
    try:
        home = Path.home()
    except RuntimeError:
        return False
    return home.is_dir() and os.access(home, os.W_OK | os.X_OK)


def keep_state_out_of_home(checkout: Path = CODE_ROOT) -> None:
    """If the home directory cannot be written, let libraries use ``.scratch/home``. Variables that are set stay.

    Call it before the first import of these libraries, which read the variables once.
    """
    if is_home_writable():
        return
    for name, folder in _FOLDERS.items():
        path = Layout(checkout).scratch_dir / "home" / folder
        if name not in os.environ:
            with suppress(OSError):  # then the library reports it
                path.mkdir(parents=True, exist_ok=True)
            os.environ[name] = str(path)
