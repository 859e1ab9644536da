"""Log output on stderr. ``LIPSMITH_LOG_LEVEL`` sets the level."""

from __future__ import annotations

import logging
import os
import sys
from typing import TextIO

from pipeline.core.short_paths import short_paths
from pipeline.core.stage_events import EventHandler, EventWriter

logger = logging.getLogger(__name__)

LEVEL_VARIABLE = "LIPSMITH_LOG_LEVEL"
_LEVELS = "DEBUG, INFO, WARNING, ERROR, CRITICAL"
_VERBOSE = ("alembic", "mlflow", "numba", "matplotlib", "PIL")


def log_to_stderr(form: str = "%(message)s") -> None:
    """Log to stderr at the level of ``LIPSMITH_LOG_LEVEL`` (default INFO). Verbose libraries log warnings only.

    Warnings and progress are also passed to the flow that started the process, if one did.
    """
    handlers = [StderrHandler(), EventHandler(EventWriter.of_environment())]
    logging.basicConfig(level=_level(), format=form, datefmt="%H:%M:%S", handlers=handlers)
    for name in _VERBOSE:
        logging.getLogger(name).setLevel(logging.WARNING)
    given = os.environ.get(LEVEL_VARIABLE, "")
    if given and given.upper() not in logging.getLevelNamesMapping():
        logger.warning("%s is %r, which is not a log level; using INFO. Allowed: %s", LEVEL_VARIABLE, given, _LEVELS)


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to the current ``sys.stderr``, which a progress bar replaces so that log lines stay above the bar.

    Paths are short, as in `short_paths`.
    """

    def format(self, record: logging.LogRecord) -> str:
        return short_paths(super().format(record))

    def emit(self, record: logging.LogRecord) -> None:
        self.setStream(sys.stderr)
        super().emit(record)


def is_terminal(stream: TextIO) -> bool:
    """Whether lines of the stream can be redrawn: it is a terminal and no simple one."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def wants_tracebacks() -> bool:
    """Whether user errors are printed with their traceback: at level DEBUG and below."""
    return _level() <= logging.DEBUG


def _level() -> int:
    return logging.getLevelNamesMapping().get(os.environ.get(LEVEL_VARIABLE, "").upper(), logging.INFO)
