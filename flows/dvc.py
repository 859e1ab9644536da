"""DVC as a subprocess: the stage graph, the run of one stage.

DVC alone decides what runs. The outcome of a stage is parsed from DVC's output.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from flows.exit_codes import describe_exit
from flows.processes import stream
from pipeline.core.errors import LipsmithError, TemporaryError, UserError
from pipeline.core.resources import NUM_CORES_VARIABLE

StageOutcome = Literal["ran", "restored", "up_to_date", "failed", "skipped"]
"""``restored``: the outputs came from DVC's run cache. ``skipped``: an upstream stage failed."""

_TAIL_LINES = 12
_HINT_STARTS = (
    "Generating lock file ",
    "Updating lock file ",
    "To track the changes with git, run:",
    "\tgit add ",
    "To enable auto staging, run:",
    "\tdvc config core.autostage true",
    "Use `dvc push` to send your updates to remote storage.",
)
_LOCK_TEXTS = ("is busy, it is being blocked by", "Unable to acquire lock")
_NODE = re.compile(r'^"(?P<node>[^"]+)";$')
_EDGE = re.compile(r'^"(?P<upstream>[^"]+)" -> "(?P<downstream>[^"]+)";$')
_FAILED_COMMAND = re.compile(r", exited with (-?\d+)$")
_ERROR_START = re.compile(r"^ERROR: (failed to reproduce '[^']*': )?")
_STAGE_ERROR = re.compile(r"^\S+ pipeline\.stage: (?:\S+: )?(?P<why>.+)$")
"""Format in which ``pipeline.stage.run`` logs the error that ends a stage."""


class DvcError(LipsmithError):
    """DVC or a stage's command failed. The message starts with the cause; the last output lines follow."""


class TemporaryDvcError(DvcError, TemporaryError):
    """The same call may succeed later: another DVC process holds a lock, or the stage exited with code 75."""


@dataclass(frozen=True)
class StageGraph:
    """Stage name -> its direct upstream stages, in DVC's order."""

    upstream: dict[str, tuple[str, ...]]

    def waves(self) -> list[list[str]]:
        """Groups of stages. Each group depends on earlier groups only. Raises DvcError for a cycle."""
        depth: dict[str, int] = {}
        remaining = dict(self.upstream)
        while remaining:
            ready = [s for s, before in remaining.items() if all(b in depth for b in before)]
            if not ready:
                raise DvcError(f"the stage graph has a cycle among {', '.join(remaining)}")
            for stage in ready:
                before = remaining.pop(stage)
                depth[stage] = 1 + max((depth[b] for b in before), default=-1)
        levels = range(1 + max(depth.values(), default=-1))
        return [[s for s in self.upstream if depth[s] == level] for level in levels]

    def restricted_to(self, targets: Iterable[str]) -> StageGraph:
        """The targets and all stages upstream of them. ``train_gan`` matches every ``train_gan@...``.

        Raises UserError for an unknown target; the message lists the known stages.
        """
        wanted: set[str] = set()
        pending = [stage for target in targets for stage in self._matching(target)]
        while pending:
            stage = pending.pop()
            if stage not in wanted:
                wanted.add(stage)
                pending.extend(self.upstream[stage])
        return StageGraph({s: before for s, before in self.upstream.items() if s in wanted})

    def _matching(self, target: str) -> list[str]:
        found = [s for s in self.upstream if s == target or s.split("@")[0] == target]
        if not found:
            raise UserError(f"no stage {target!r} in dvc.yaml; it has {', '.join(self.upstream)}")
        return found


def read_graph(root: Path) -> StageGraph:
    """The stage graph of ``dvc dag``; each variant is a stage of its own. Raises DvcError."""
    files = (root / name for name in ("dvc.yaml", "params.yaml"))
    return _read_graph(root, *(path.read_bytes() if path.is_file() else b"" for path in files))


@lru_cache(maxsize=1)
def _read_graph(root: Path, dvc_yaml: bytes, params_yaml: bytes) -> StageGraph:
    """The graph of files with this content. A command reads it before its flow starts, and the flow reads it again."""
    return parse_dag(query(root, "dag", "--dot"))


def parse_dag(dot: str) -> StageGraph:
    """The stage graph from the dot text of ``dvc dag``, which has one node or one edge per line."""
    upstream: dict[str, list[str]] = {}
    for line in map(str.strip, dot.splitlines()):
        if node := _NODE.match(line):
            upstream.setdefault(node["node"], [])
        elif edge := _EDGE.match(line):
            upstream.setdefault(edge["upstream"], [])
            upstream.setdefault(edge["downstream"], []).append(edge["upstream"])
    return StageGraph({stage: tuple(before) for stage, before in upstream.items()})


def run_stage(
    root: Path,
    stage: str,
    on_line: Callable[[str], None],
    *,
    force: bool = False,
    num_cores: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> StageOutcome:
    """``dvc repro`` of one stage alone. Its dependencies must be up to date.

    ``force`` runs the stage even if it is up to date. ``num_cores``: number of cores for the stage; None: all.
    ``environment``: further variables for its process.
    Raises TemporaryDvcError if a lock is held or the stage exits with code 75, DvcError for any other failure.
    """
    output = ReproOutput(stage)

    def on_output(line: str) -> None:
        output.add(line)
        on_line(line)

    options = ["--single-item", *(["--force"] if force else [])]
    cores = {} if num_cores is None else {NUM_CORES_VARIABLE: str(num_cores), "OMP_NUM_THREADS": str(num_cores)}
    code = stream(dvc_command("repro", *options, stage), root, on_output, {**cores, **(environment or {})})
    return output.outcome(code)


def is_hint(line: str) -> bool:
    """Whether a line of ``dvc repro`` is not about the stage: it is blank, or about lock file, git and storage."""
    return not line.strip() or line.startswith(_HINT_STARTS)


class ReproOutput:
    """Parses the outcome of a stage from the output lines of ``dvc repro``."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._starts: dict[str, StageOutcome] = {
            f"Running stage '{stage}':": "ran",
            f"Stage '{stage}' is cached - skipping run": "restored",
            f"Stage '{stage}' didn't change, skipping": "up_to_date",
        }
        self._outcome: StageOutcome | None = None
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._error = self._stage_message = self._log_end = ""
        self._has_traceback = self._may_retry = False

    def add(self, line: str) -> None:
        if self._outcome is None:
            found = (o for start, o in self._starts.items() if line.startswith(start))
            self._outcome = next(found, None)
        self._has_traceback |= line.startswith("Traceback (most recent call last)")
        if not self._error and line.startswith("ERROR: "):
            self._error = _ERROR_START.sub("", line)
            self._log_end = self._last_line()
        if self._error:
            code = _FAILED_COMMAND.search(line)
            if code:
                self._error = f"its command {self._described(int(code[1]))}"
            is_temporary = code is not None and int(code[1]) == TemporaryError.exit_code
            self._may_retry |= is_temporary or _mentions_lock(line)
        if line.strip():
            self._tail.append(line)
        if reason := _STAGE_ERROR.match(line):
            self._stage_message = reason["why"]

    def _described(self, code: int) -> str:
        """The exit and its cause: the stage's own message or, of a command that ended itself, its last line."""
        exit_text = describe_exit(code)
        if self._stage_message or not self._log_end:
            return exit_text + (f": {self._stage_message}" if self._stage_message else "")
        return exit_text + (": " if exit_text.startswith("exited") else "; the last line of its log: ") + self._log_end

    def _last_line(self) -> str:
        line = next(reversed(self._tail), "").strip()
        return "" if line.startswith(("> ", "Running stage ")) else line

    def outcome(self, exit_code: int) -> StageOutcome:
        if exit_code == 0 and self._outcome is not None:
            return self._outcome
        cause = self._error or f"dvc {describe_exit(exit_code)}"
        text = "\n".join([cause, *self._tail])
        if self._may_retry and not self._has_traceback:
            raise TemporaryDvcError(text)
        raise DvcError(text)


def _mentions_lock(text: str) -> bool:
    return any(lock_text in text for lock_text in _LOCK_TEXTS)


def dvc_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dvc", "--wait-for-lock", *arguments]


def query(root: Path, *arguments: str) -> str:
    done = subprocess.run(dvc_command(*arguments), cwd=root, capture_output=True, text=True)
    if done.returncode == 0:
        return done.stdout
    if _mentions_lock(done.stderr):
        raise TemporaryDvcError(f"another DVC process is running in {root}; try again when it has finished")
    raise DvcError(f"dvc {' '.join(arguments)} failed in {root}: {done.stderr.strip()[-2000:]}")
