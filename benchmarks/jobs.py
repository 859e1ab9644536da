"""What `runtime.num_jobs` gains: trainings at once, each with its share of the cores, against one after another.

python benchmarks/jobs.py [--jobs 2] [--width 0.25] [--clips 4] [--steps 40] [--rounds 3]

Printed: the time that as many trainings as jobs take with every core each, one after another, and at once with an equal
share each. A training here is steps of the generator with LSTM and CBAM (forward, L1, backward, Adam). Needs no clips.
The two ways take turns, and each figure is the fastest of its rounds.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier
from typing import Annotated

import torch
import train
import typer

from pipeline.core.command_line import run_command
from pipeline.core.resources import num_cores

WARM_UP_STEPS = 3


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(_command, argv, "python benchmarks/jobs.py")


def _command(
    jobs: Annotated[int, typer.Option(help="Number of trainings.")] = num_cores(),
    width: Annotated[float, typer.Option(help="Width of the generator; 1 is Wav2Lip's size.")] = 0.25,
    clips: Annotated[int, typer.Option(help="Clips in a batch, one window of 5 frames each.")] = 4,
    steps: Annotated[int, typer.Option(help="Steps of each training.")] = 40,
    rounds: Annotated[int, typer.Option(help="Measurements of each way; the fastest counts.")] = 3,
) -> int:
    """Measure trainings at once, each with its share of the cores, against one after another."""
    work = (width, clips, steps)
    share = max(1, num_cores() // jobs)
    in_turn, at_once = [], []
    for _ in range(rounds):
        in_turn.append(jobs * seconds_of(1, num_cores(), work))
        at_once.append(seconds_of(jobs, share, work))
    print(
        f"{jobs} trainings of {steps} steps, width {width:g}, {clips} x {train.FRAMES} "
        f"frames: {min(in_turn):.1f} s one after another on {num_cores()} threads, {min(at_once):.1f} s at once on "
        f"{share} each, {min(in_turn) / min(at_once):.2f} times as fast"
    )
    return 0


def seconds_of(num_processes: int, num_threads: int, work: tuple[float, int, int]) -> float:
    """From the moment all processes are warm to the end of the last."""
    context = multiprocessing.get_context("spawn")
    warm = context.Barrier(num_processes + 1)
    processes = [context.Process(target=run, args=(num_threads, warm, *work)) for _ in range(num_processes)]
    for process in processes:
        process.start()
    warm.wait()
    started = time.monotonic()
    for process in processes:
        process.join()
    seconds = time.monotonic() - started
    if any(process.exitcode for process in processes):
        raise SystemExit("a training failed: see above")
    return seconds


def run(num_threads: int, warm: Barrier, width: float, clips: int, steps: int) -> None:
    torch.set_num_threads(num_threads)
    make = train.step(width, clips, with_additions=True)
    for _ in range(WARM_UP_STEPS):
        make()
    warm.wait()
    for _ in range(steps):
        make()


if __name__ == "__main__":
    raise SystemExit(main())
