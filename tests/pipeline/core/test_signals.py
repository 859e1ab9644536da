"""Signals that end a process unwind it first."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

# Each script sleeps in short steps: Python handles a signal that arrives just before a sleep only after it.
WRITING = """
import signal, sys, time
from pathlib import Path
from pipeline.core import atomic
from pipeline.core.signals import exit_on_signals

if "nohup" in sys.argv:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
exit_on_signals()
with atomic.replacing(Path(sys.argv[1])) as temporary:
    temporary.touch()
    print("writing", flush=True)
    for _ in range(6000):
        time.sleep(0.01)
"""


def start(path: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITING, str(path), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    return process


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_temporary_files_are_removed(tmp_path: Path, signum: signal.Signals) -> None:
    process = start(tmp_path / "file")
    assert len(list(tmp_path.iterdir())) == 1
    process.send_signal(signum)
    assert process.wait(timeout=30) == 128 + signum
    assert not any(tmp_path.iterdir())


def test_an_ignored_signal_stays_ignored(tmp_path: Path) -> None:
    process = start(tmp_path / "file", "nohup")
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 128 + signal.SIGTERM


FINALISING = """
import signal, sys, time
from pipeline.core.signals import exit_on_signals

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in commands that it runs in background

class Held:
    def __del__(self):
        print("finalising", flush=True)
        for _ in range(6000):
            time.sleep(0.01)

exit_on_signals()
held = Held()
del held
for _ in range(6000):
    time.sleep(0.01)
"""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_arrives_while_an_object_is_finalised_is_not_lost(signum: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", FINALISING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "finalising\n"
    process.send_signal(signum)
    assert process.wait(timeout=30) == (-signum if signum == signal.SIGINT else 128 + signum)
    assert process.stderr is not None and "Exception ignored" not in process.stderr.read()


READING = """
import sys, time
from pathlib import Path
import av
from pipeline.core import atomic
from pipeline.core.signals import exit_on_signals

class Slow:
    name = "media.mp4"

    def read(self, size):
        print("reading", flush=True)
        for _ in range(6000):
            time.sleep(0.01)

exit_on_signals()
folder = Path(sys.argv[1])
with atomic.replacing(folder / "file") as file, atomic.replacing_folder(folder / "pictures") as pictures:
    file.touch()
    (pictures / "0.png").touch()
    av.open(Slow())
"""


def test_temporary_files_are_removed_if_the_signal_arrives_while_ffmpeg_reads(tmp_path: Path) -> None:
    """PyAV ends the process if a reader raises SystemExit, without an unwinding of the callers."""
    process = subprocess.Popen([sys.executable, "-c", READING, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "reading\n"
    assert len(list(tmp_path.iterdir())) == 2
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 128 + signal.SIGTERM
    assert not any(tmp_path.iterdir())
