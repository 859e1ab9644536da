"""Runs ``python -m MODULE`` in processes forked from one that has imported torch and other large packages.

A process that imports them itself computes for seconds before it reaches the project's code.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

PACKAGES = ("torch", "av", "cv2", "matplotlib.figure", "mlflow", "pyarrow.parquet", "pydantic", "scipy.signal", "typer")
"""None of them starts a thread when it is imported."""


class PreloadedProcess:
    """A running command. ``pid``: of its process, for signals."""

    def __init__(self, words: list[str], answers: IO[str], printed: list[Path]) -> None:
        self._words, self._answers, self._printed = words, answers, printed
        self.pid = self._next_number()

    def wait(self) -> subprocess.CompletedProcess[str]:
        """Wait for the end. The exit code is negative for a signal, as that of ``subprocess``."""
        code = self._next_number()
        return subprocess.CompletedProcess(self._words, code, *(path.read_text() for path in self._printed))

    def _next_number(self) -> int:
        return int(self._answers.readline())


class PreloadedPython:
    """Runs one command at a time. The commands import the project's modules anew."""

    def __init__(self, forks: subprocess.Popen[str], folder: Path) -> None:
        assert forks.stdin is not None
        assert forks.stdout is not None
        self._requests, self._answers, self._folder = forks.stdin, forks.stdout, folder

    def run(self, *arguments: object, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a module with arguments as ``python -m`` does, in ``cwd`` and with exactly the variables ``env``."""
        return self.start(*arguments, cwd=cwd, env=env).wait()

    def start(self, *arguments: object, cwd: Path, env: Mapping[str, str]) -> PreloadedProcess:
        """Start what ``run`` runs. Wait for its end before the next command."""
        words = [str(argument) for argument in arguments]
        printed = [self._folder / name for name in ("stdout", "stderr")]
        request = [words, str(cwd), dict(env), [str(path) for path in printed]]
        self._requests.write(json.dumps(request) + "\n")
        self._requests.flush()
        return PreloadedProcess(words, self._answers, printed)


@contextmanager
def preloaded_python() -> Iterator[PreloadedPython]:
    """Start the process that imports the packages and yield what forks it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, __file__], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            yield PreloadedPython(process, Path(folder))
        finally:
            process.kill()  # between two requests it has nothing to end
            process.communicate()


def _serve() -> None:
    """Answer each request with the exit code of its process. Returns in the forked processes only via SystemExit."""
    for name in PACKAGES:
        importlib.import_module(name)
    for line in sys.stdin:
        arguments, cwd, environment, printed = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(cwd, environment, printed)
            sys.argv = arguments
            runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
            return
        print(pid, flush=True)  # noqa: T201
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


def _become(cwd: str, environment: Mapping[str, str], printed: list[str]) -> None:
    """Give this process the folder, variables, search path and standard streams of a new one."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    further = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[0:1] = [cwd, *further]
    for number, path in enumerate([os.devnull, *printed]):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, number)
        os.close(opened)


if __name__ == "__main__":
    _serve()
