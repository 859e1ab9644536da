"""DVC's commands besides ``repro``: a command that runs for long, and the default remote."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flows import dvc
from flows.processes import stream

_FAILED_STAGE = re.compile(r"^ERROR: failed to reproduce '(?P<stage>[^']+)'")


def run_dvc(
    root: Path, arguments: Sequence[str], on_line: Callable[[str], object], environment: Mapping[str, str] | None = None
) -> None:
    """Run a DVC command to its end. ``on_line`` gets its output lines. ``environment``: further variables.

    Raises DvcError if it fails, TemporaryDvcError if it may succeed later. The first line is the cause, after the name
    of the stage that failed if there is one; the last lines of the output follow.
    """
    output, stages = dvc.ReproOutput(""), []

    def on_output(line: str) -> None:
        output.add(line)
        if found := _FAILED_STAGE.match(line):
            stages.append(found["stage"])
        on_line(line)

    code = stream(dvc.dvc_command(*arguments), root, on_output, environment)
    if code != 0:
        try:
            output.outcome(code)
        except dvc.DvcError as error:
            raise type(error)(": ".join([*stages[:1], str(error)])) from None


def default_remote(root: Path) -> str:
    """Name of DVC's default remote; empty if there is none. Raises DvcError if the configuration is damaged."""
    lines = dvc.query(root, "config", "--list").splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line)
    return settings.get("core.remote", "")
