"""Errors of a command that its user can correct."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from pipeline.core.logs import wants_tracebacks

EXIT_USER_ERROR = 2


@contextmanager
def user_errors() -> Iterator[None]:
    """What the user can put right becomes a message and exit code 2; anything else is a bug and shows its trace."""
    try:
        yield
    except Exception as error:
        media_errors = sys.modules.get("pipeline.media.errors")
        kinds: tuple[type[Exception], ...] = (ValueError, OSError)
        if media_errors is not None:
            kinds = (*kinds, media_errors.MediaError)
        if not isinstance(error, kinds):
            raise
        if wants_tracebacks():
            traceback.print_exception(error)
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_USER_ERROR) from None
