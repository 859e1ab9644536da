"""Results of checks, and running checks in parallel: an error or a timeout of one does not affect the others."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pipeline.core.errors import LipsmithError
from pipeline.core.layout import CODE_ROOT

logger = logging.getLogger(__name__)

TIME_LIMIT_S = 90.0
"""Time limit of one check. Each program that it runs has a shorter one."""
_INTERPRETER_S = 60.0


class Status(StrEnum):
    FAIL = "fail"
    WARN = "warn"
    OK = "ok"


@dataclass(frozen=True)
class Check:
    """The result of one check: what it found, and the remedy ("" if the status is ok)."""

    name: str
    status: Status
    found: str
    remedy: str = ""


Probe = Callable[[], Sequence[Check]]


def ok(name: str, found: str) -> Check:
    return Check(name, Status.OK, found)


def warn(name: str, found: str, remedy: str) -> Check:
    return Check(name, Status.WARN, found, remedy)


def fail(name: str, found: str, remedy: str) -> Check:
    return Check(name, Status.FAIL, found, remedy)


_UNKNOWN_CAUSE = "the check itself failed: read its error, and report it as a bug if the environment is not the cause"


def failure_of(name: str, error: BaseException, remedy: str = _UNKNOWN_CAUSE) -> Check:
    """A failed check for one that raised ``error``. Logs the traceback of a bug."""
    if isinstance(error, LipsmithError):
        return fail(name, str(error), remedy)
    if not isinstance(error, ImportError | OSError):
        logger.error("the check %s failed with a bug", name, exc_info=error)
    return fail(name, f"{type(error).__name__}: {error}", remedy)


def run_checks(probes: Mapping[str, Probe], limit_s: float = TIME_LIMIT_S) -> list[Check]:
    """Run the probes in parallel and return their checks in the order of the probes.

    A probe that raises, or takes longer than ``limit_s``, gives a failed check under its name.
    """
    found: dict[str, Sequence[Check]] = {}

    def run(name: str, probe: Probe) -> None:
        try:
            found[name] = probe()
        except BaseException as error:  # a broken package must not hide the results of the other checks
            found[name] = [failure_of(name, error)]

    threads = {
        name: threading.Thread(target=run, args=(name, probe), daemon=True)  # a hung thread must not block the exit
        for name, probe in probes.items()
    }
    for thread in threads.values():
        thread.start()
    deadline = time.monotonic() + limit_s
    for thread in threads.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    late = f"no answer in {limit_s:g} s"
    remedy = "check the disk, driver or program that it uses: it does not answer"
    return [check for name in probes for check in found.get(name, [fail(name, late, remedy)])]


def worst_first(checks: Sequence[Check]) -> list[Check]:
    """Failures, then warnings, then the rest; the order is otherwise kept."""
    return sorted(checks, key=lambda check: list(Status).index(check.status))


class ProgramError(LipsmithError):
    """A program that a check runs failed or timed out. The message is the last line of its output."""


def output_of(command: Sequence[str], limit_s: float, env: Mapping[str, str] | None = None) -> str:
    """A program's standard output. Raises ProgramError if it fails, is missing, or exceeds ``limit_s``."""
    try:
        done = subprocess.run(
            command, cwd=CODE_ROOT, env=env, capture_output=True, text=True, timeout=limit_s, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise ProgramError(f"{Path(command[0]).name} did not answer in {limit_s:g} s") from None
    except OSError as error:
        raise ProgramError(str(error)) from None
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise ProgramError(lines[-1].strip() if lines else f"{Path(command[0]).name} exited with {done.returncode}")
    return done.stdout


def run_python(code: str) -> Any:
    """Run ``code`` in a new interpreter and return the JSON in its last line of output.

    A crash or a hang of the code does not affect this process. Raises ProgramError.
    """
    lines = output_of([sys.executable, "-c", code], _INTERPRETER_S).strip().splitlines()
    try:
        return json.loads(lines[-1] if lines else "")
    except json.JSONDecodeError:
        raise ProgramError(f"no JSON in {lines[-1:]}") from None
