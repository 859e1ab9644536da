"""What a check says, and running checks so that none of them can stop or hold up the others."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pipeline.core.errors import LipsmithError

logger = logging.getLogger(__name__)

TIME_LIMIT_S = 90.0
"""For one check; each program that it asks has less."""
_INTERPRETER_S = 60.0
_ROOT = Path(__file__).resolve().parents[2]


class Status(StrEnum):
    FAIL = "fail"
    WARN = "warn"
    OK = "ok"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what was found, and what to do about it (empty where all is well)."""

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


_FAULT = "a fault of the check itself, or of what it looked at"


def raised(name: str, error: BaseException, remedy: str = _FAULT) -> Check:
    """A check that could not finish is a failed one. The traceback of a bug is logged."""
    if isinstance(error, LipsmithError):
        return fail(name, str(error), remedy)
    if not isinstance(error, ImportError | OSError):
        logger.error("the check of %s met a bug", name, exc_info=error)
    return fail(name, f"{type(error).__name__}: {error}", remedy)


def run_checks(probes: Mapping[str, Probe], limit_s: float = TIME_LIMIT_S) -> list[Check]:
    """What the probes say, in their order. They run side by side; one that raises or that takes over ``limit_s``
    is reported as failed under its name."""
    found: dict[str, Sequence[Check]] = {}

    def look(name: str, probe: Probe) -> None:
        try:
            found[name] = probe()
        except BaseException as error:  # one broken package must not hide what the other checks say
            found[name] = [raised(name, error)]

    threads = {
        name: threading.Thread(target=look, args=(name, probe), daemon=True)  # a hung one must not hold the exit
        for name, probe in probes.items()
    }
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        thread.join(limit_s)
    late = f"no answer in {limit_s:g} s"
    remedy = "a disk, a driver or a program that it asks does not answer"
    return [check for name in probes for check in found.get(name, [fail(name, late, remedy)])]


def worst_first(checks: Sequence[Check]) -> list[Check]:
    """Failures, then warnings, then the rest; otherwise in their order."""
    return sorted(checks, key=lambda check: list(Status).index(check.status))


class NoAnswerError(LipsmithError):
    """A program that a check asks failed or took too long; the text is its last word."""


def answer_of(command: Sequence[str], limit_s: float, env: Mapping[str, str] | None = None) -> str:
    """What a program prints. Raises NoAnswerError where it fails, is absent, or takes over ``limit_s``."""
    try:
        done = subprocess.run(
            command, cwd=_ROOT, env=env, capture_output=True, text=True, timeout=limit_s, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise NoAnswerError(f"{Path(command[0]).name} did not answer in {limit_s:g} s") from None
    except OSError as error:
        raise NoAnswerError(str(error)) from None
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise NoAnswerError(said[-1].strip() if said else f"{Path(command[0]).name} ended with {done.returncode}")
    return done.stdout


def ask_python(code: str) -> Any:
    """What ``code`` prints as JSON in an interpreter of its own, where a crash or a hang does no harm.

    Raises NoAnswerError.
    """
    said = answer_of([sys.executable, "-c", code], _INTERPRETER_S).strip().splitlines()
    try:
        return json.loads(said[-1] if said else "")
    except json.JSONDecodeError:
        raise NoAnswerError(f"no answer in {said[-1:]}") from None
