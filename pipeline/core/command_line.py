"""Command lines: typer with plain help. A usage error prints one line and returns exit code 2.

A command is a function that returns its exit code. It is called once. Its exceptions, including KeyboardInterrupt, are
raised unchanged, but for the errors that a user can correct: ``reported`` and ``run_and_report`` print those.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.core.errors import LipsmithError, exit_code_of

EXIT_USAGE = 2
RootOption = Annotated[
    Path | None, typer.Option(help="Checkout. Default: the one that contains the working directory.")
]
"""The option ``--root`` of a command."""
_USAGE_ERROR: Any = typer.BadParameter.__base__
"""Click's ``UsageError``. New versions of typer include their own click; old versions use the installed one."""


def plain_app(help: str | None = None, epilog: str | None = None) -> typer.Typer:
    """An app for several commands, without colours, shell completion and framed tracebacks."""
    return typer.Typer(
        help=help,
        epilog=epilog,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )


def run_command(command: Callable[..., int], argv: Sequence[str] | None, prog: str) -> int:
    """Parse ``argv`` (None: ``sys.argv``) for one command, run it and return its exit code.

    Typer derives the options from the parameters of ``command`` and the help text from its docstring. ``--help``
    returns 0 and a usage error returns 2, both without calling ``command``.
    """
    app = plain_app()
    app.command(context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=False)(command)
    return run_app(app, argv, prog)


def run_app(app: typer.Typer, argv: Sequence[str] | None, prog: str) -> int:
    """Parse ``argv`` (None: ``sys.argv``), run the command that it names and return the exit code.

    A usage error prints one line on stderr and returns 2. Without a command, the help is printed on stderr and 2 is
    returned.
    """
    command = typer.main.get_command(app)
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with command.make_context(prog, arguments) as context:
            code = command.invoke(context)
    except typer.Exit as ended:
        return ended.exit_code
    except _USAGE_ERROR as error:
        typer.echo(_explanation(error), err=True)
        return EXIT_USAGE
    return code if isinstance(code, int) else 0


def reported(body: Callable[[], int], report: Callable[[LipsmithError | OSError], object]) -> int:
    """Call ``body`` and return its exit code.

    A LipsmithError or an error of the operating system is passed to ``report`` and becomes its exit code. Any other
    exception is a bug and is raised.
    """
    try:
        return body()
    except (LipsmithError, OSError) as error:
        code = exit_code_of(error)
        if code is None:
            raise
        report(error)
        return code


def run_and_report(command: Callable[..., int], argv: Sequence[str] | None, prog: str) -> int:
    """As ``run_command``, but an error that ``reported`` handles is one line on stderr."""
    return reported(lambda: run_command(command, argv, prog), lambda error: typer.echo(f"error: {error}", err=True))


def _explanation(error: Any) -> str:
    text = str(error.format_message())
    if error.ctx is None:
        return f"error: {text}"
    if text == error.ctx.get_help():
        return text
    return f"error: {' '.join(text.split()).rstrip('.')} (see `{error.ctx.command_path} --help`)"
