"""Command lines: typer with plain help, and a mistake as one line and exit code 2.

A command is a function that returns its exit code. Nothing here runs a command twice, catches what it raises or turns
Ctrl-C into another exception.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer

EXIT_USAGE = 2
_USAGE_ERROR: Any = typer.BadParameter.__base__
"""Click's ``UsageError``. New typers bring a click of their own, old ones use the installed one."""


def plain_app(help: str | None = None, epilog: str | None = None) -> typer.Typer:
    """An app for several commands: no colours, no shell completion, no framed tracebacks."""
    return typer.Typer(
        help=help,
        epilog=epilog,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )


def run_command(command: Callable[..., int], argv: Sequence[str] | None, prog: str) -> int:
    """Parse ``argv`` (None: the process's own) for one command, run it and return its exit code.

    The parameters of ``command`` are its options, as typer reads them; its docstring is the help text. ``--help``
    returns 0 and a mistake returns 2, both without a call of ``command``.
    """
    app = plain_app()
    app.command(context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=False)(command)
    return run_app(app, argv, prog)


def run_app(app: typer.Typer, argv: Sequence[str] | None, prog: str) -> int:
    """Parse ``argv`` (None: the process's own), run the command that it names and return the exit code.

    A mistake in ``argv`` is one line on stderr and exit code 2; no command at all shows the help, also with 2.
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


def _explanation(error: Any) -> str:
    text = str(error.format_message())
    if error.ctx is None:
        return f"error: {text}"
    if text == error.ctx.get_help():
        return text
    return f"error: {' '.join(text.split()).rstrip('.')} (see `{error.ctx.command_path} --help`)"
