"""Speed-up of `runtime.num_jobs`: parallel training runs with a share of the cores each, compared with sequential ones.

python benchmarks/jobs.py [--jobs 2] [--width 0.25] [--clips 4] [--steps 40] [--rounds 3]

Prints the time of ``jobs`` training runs one after another on all cores, and in parallel with a share of the cores
each. A training is a number of steps of the generator with LSTM and CBAM (forward, L1, backward, Adam). Needs no clips.
Rounds of the two modes alternate; each number is the fastest of its rounds.
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

from pipeline.core.command_line import run_and_report
from pipeline.core.resources import num_cores

WARM_UP_STEPS = 3


def main(argv: Sequence[str] | None = None) -> int:
    return run_and_report(_command, argv, "python benchmarks/jobs.py")


def _command(
    jobs: Annotated[int, typer.Option(help="Number of trainings.")] = num_cores(),
    width: Annotated[float, typer.Option(help="Width of the generator; 1 is Wav2Lip's size.")] = 0.25,
    clips: Annotated[int, typer.Option(help="Clips in a batch, one window of 5 frames each.")] = 4,
    steps: Annotated[int, typer.Option(help="Steps of each training run.")] = 40,
    rounds: Annotated[int, typer.Option(help="Measurements of each mode; the fastest is printed.")] = 3,
) -> int:
    """Measure parallel trainings with a share of the cores each, compared with sequential trainings."""
    work = (width, clips, steps)
    share = max(1, num_cores() // jobs)
    sequential, parallel = [], []
    for _ in range(rounds):
        sequential.append(jobs * seconds_of(1, num_cores(), work))
        parallel.append(seconds_of(jobs, share, work))
    print(
        f"{jobs} training runs of {steps} steps, width {width:g}, {clips} x {train.FRAMES} "
        f"frames: {min(sequential):.1f} s one after another on {num_cores()} threads, {min(parallel):.1f} s in "
        f"parallel on {share} threads each, {min(sequential) / min(parallel):.2f} times as fast"
    )
    return 0


def seconds_of(num_processes: int, num_threads: int, work: tuple[float, int, int]) -> float:
    """Seconds from the time when all processes have finished their warm-up to the end of the last process."""
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
        raise SystemExit("a training run failed; see its output above")
    return seconds


def run(num_threads: int, warm: Barrier, width: float, clips: int, steps: int) -> None:
    torch.set_num_threads(num_threads)
    run_step = train.step(width, clips, with_additions=True)
    for _ in range(WARM_UP_STEPS):
        run_step()
    warm.wait()
    for _ in range(steps):
        run_step()


if __name__ == "__main__":
    raise SystemExit(main())
