"""DVC's commands besides ``repro``: a command that runs for long, and the default remote."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flows import dvc
from flows.exit_codes import describe_exit
from flows.processes import stream

_TAIL_LINES = 12
_ERROR = "ERROR: "


def run_dvc(
    root: Path, arguments: Sequence[str], on_line: Callable[[str], object], environment: Mapping[str, str] | None = None
) -> None:
    """Run a DVC command to its end. ``on_line`` gets its output lines. ``environment``: further variables.

    Raises DvcError if it fails: the first line is the cause that DVC names, the last lines of the output follow.
    """
    tail: deque[str] = deque(maxlen=_TAIL_LINES)

    def on_output(line: str) -> None:
        tail.append(line)
        on_line(line)

    code = stream(dvc.dvc_command(*arguments), root, on_output, environment)
    if code != 0:
        causes = [line.removeprefix(_ERROR) for line in tail if line.startswith(_ERROR)]
        raise dvc.DvcError("\n".join([*(causes or [f"dvc {describe_exit(code)}"]), *tail]))


def default_remote(root: Path) -> str:
    """Name of DVC's default remote; empty if there is none. Raises DvcError if the configuration is damaged."""
    lines = dvc.query(root, "config", "--list").splitlines()
    settings = dict(line.split("=", 1) for line in lines if "=" in line)
    return settings.get("core.remote", "")
