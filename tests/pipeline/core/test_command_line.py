"""Running a command line: exit codes, usage errors of one line, exceptions that are raised unchanged."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import pytest
import typer

from pipeline.core.choices import Device
from pipeline.core.command_line import plain_app, reported, run_and_report, run_app, run_command
from pipeline.core.errors import DataError

PROG = "python -m somewhere"


def command(
    count: Annotated[int, typer.Option(help="How many.")],
    device: Annotated[Device, typer.Option(help="Where.")] = "auto",
) -> int:
    """Do something.

    With a consequence.
    """
    print(count, device)  # noqa: T201
    return count


def test_a_commands_exit_code_is_returned(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command, ["--count", "3", "--device", "cpu"], PROG) == 3
    assert capsys.readouterr().out == "3 cpu\n"


def test_without_argv_the_arguments_come_from_sys_argv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "--count", "4"])
    assert run_command(command, None, PROG) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing option '--count'"),
        (["--count", "3", "--bogus"], "--bogus"),
        (["--count", "3", "extra"], "extra"),
        (["--count", "many"], "valid integer"),
        (["--count", "3", "--device", "tpu"], "'auto', 'cpu', 'cuda'"),
    ],
)
def test_a_usage_error_prints_one_line_and_does_not_call_the_command(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(command, arguments, PROG) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1
    assert message in printed.err
    assert f"`{PROG} --help`" in printed.err


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_states_names_choices_and_defaults(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command, [option], PROG) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    for text in (PROG, "With a consequence.", "--count", "required", "auto|cpu|cuda", "default: auto"):
        assert text in printed.out


@pytest.mark.parametrize("error", [ValueError("wrong"), EOFError(), KeyboardInterrupt(), SystemExit(143)])
def test_an_exception_of_a_command_is_raised_unchanged(error: BaseException) -> None:
    def failing() -> int:
        raise error

    with pytest.raises(type(error)) as caught:
        run_command(failing, [], PROG)
    assert caught.value is error


def _app() -> typer.Typer:
    def first() -> None:
        """The first."""

    def second() -> None:
        """The second."""
        raise typer.Exit(5)

    app = plain_app("Two commands.")
    for each in (first, second):
        app.command()(each)
    return app


@pytest.mark.parametrize(
    ("arguments", "code"), [(["first"], 0), (["second"], 5), (["--help"], 0), ([], 2), (["third"], 2)]
)
def test_an_app_returns_its_commands_exit_code(arguments: list[str], code: int) -> None:
    assert run_app(_app(), arguments, PROG) == code


def test_an_app_without_a_command_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    run_app(_app(), [], PROG)
    assert "The second." in capsys.readouterr().err


def _raising(error: Exception) -> Callable[[], int]:
    def body() -> int:
        raise error

    return body


@pytest.mark.parametrize(("error", "code"), [(DataError("no clip"), 3), (OSError(28, "disk full"), 2)])
def test_an_error_that_the_user_can_correct_is_reported_once(error: Exception, code: int) -> None:
    told: list[Exception] = []
    assert reported(_raising(error), told.append) == code
    assert told == [error]


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError("raised by a program")])
def test_a_bug_is_raised_and_not_reported(error: Exception) -> None:
    told: list[Exception] = []
    with pytest.raises(type(error)):
        reported(_raising(error), told.append)
    assert told == []


def test_without_an_error_the_exit_code_is_that_of_the_body() -> None:
    assert reported(lambda: 4, pytest.fail) == 4


def test_an_error_of_a_command_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> int:
        raise DataError("no clip")

    assert run_and_report(fails, [], PROG) == DataError.exit_code
    assert capsys.readouterr().err == "error: no clip\n"
