"""Reports errors that the user can correct."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from pipeline.core.errors import LipsmithError, exit_code_of
from pipeline.core.logs import wants_tracebacks


@contextmanager
def user_errors() -> Iterator[None]:
    """Print a LipsmithError or an error of the operating system and raise typer.Exit with its exit code.

    Any other exception is a bug and is raised unchanged. At level DEBUG the traceback is printed too.
    """
    try:
        yield
    except (LipsmithError, OSError) as error:
        code = exit_code_of(error)
        if code is None:
            raise
        if wants_tracebacks():
            traceback.print_exception(error)
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(code) from None
