"""Log output on stderr. ``LIPSMITH_LOG_LEVEL`` sets the level."""

from __future__ import annotations

import logging
import os
import sys

LEVEL_VARIABLE = "LIPSMITH_LOG_LEVEL"
_VERBOSE = ("alembic", "mlflow", "numba", "matplotlib", "PIL")


def log_to_stderr(form: str = "%(message)s") -> None:
    """Log to stderr at the level of ``LIPSMITH_LOG_LEVEL`` (default INFO). Verbose libraries log warnings only."""
    logging.basicConfig(level=_level(), format=form, datefmt="%H:%M:%S", stream=sys.stderr)
    for name in _VERBOSE:
        logging.getLogger(name).setLevel(logging.WARNING)


def wants_tracebacks() -> bool:
    """Whether user errors are printed with their traceback: at level DEBUG and below."""
    return _level() <= logging.DEBUG


def _level() -> int:
    return logging.getLevelNamesMapping().get(os.environ.get(LEVEL_VARIABLE, "").upper(), logging.INFO)
