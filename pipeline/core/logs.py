"""What the programs say while they work, on stderr: ``LIPSMITH_LOG_LEVEL`` sets how much."""

from __future__ import annotations

import logging
import os
import sys

LEVEL_VARIABLE = "LIPSMITH_LOG_LEVEL"
_TALKATIVE = ("alembic", "mlflow", "numba", "matplotlib", "PIL")


def log_to_stderr(form: str = "%(message)s") -> None:
    """From now on, at INFO or the level that the environment asks for; of libraries that say much, warnings only."""
    logging.basicConfig(level=_level(), format=form, datefmt="%H:%M:%S", stream=sys.stderr)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)


def wants_tracebacks() -> bool:
    """Whether mistakes of the user's, too, are to show where they were met."""
    return _level() <= logging.DEBUG


def _level() -> int:
    return logging.getLevelNamesMapping().get(os.environ.get(LEVEL_VARIABLE, "").upper(), logging.INFO)
