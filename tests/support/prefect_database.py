"""An empty database of a Prefect server, to be copied: the migrations that make it compute for seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

_CREATE = """
import asyncio
from prefect.server.database import provide_database_interface
asyncio.run(provide_database_interface().create_db())
"""


def empty_prefect_database(folder: Path) -> Path:
    """Return the database's file in ``folder``, which the processes of pytest-xdist share. The first call makes it."""
    home = folder / "prefect-home"
    path, made = home / "prefect.db", home / "made"
    home.mkdir(exist_ok=True)
    with FileLock(folder / "prefect-home.lock"):
        if not made.exists():
            inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_API_")}
            environment = inherited | {"PREFECT_HOME": str(home)}
            subprocess.run([sys.executable, "-c", _CREATE], env=environment, check=True)
            made.touch()
    return path
