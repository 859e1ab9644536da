"""Speed of training a generator, compared with a plain implementation of the same network, in one run.

python benchmarks/train.py [--width 1] [--clips 16] [--rounds 3] [--memory-steps 2000]

Prints:
- the time of a training step (forward, L1, backward, Adam, running average) in bfloat16 if the processor supports it
  and channels-last memory, compared with a step without the average in float32 and contiguous memory;
- the time that LSTM and CBAM add;
- the time of a step with LSTM and CBAM for faces of 128 and 192 px, compared with 96;
- the growth of memory of a small training over many steps.

Needs no clips. Rounds of the modes alternate; each number is the fastest of its rounds.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from typing import Annotated, get_args

import torch
import typer
from timing import timed

from models.choices import FACE_SIZE_PX, FacePx
from models.generator import Generator, GeneratorConfig
from models.losses import l1_loss
from pipeline.core.command_line import run_and_report
from pipeline.inference.device import autocast, set_threads
from pipeline.training.ema import AveragedWeights

Step = Callable[[], None]
Name = str | int
FRAMES = 5


def main(argv: Sequence[str] | None = None) -> int:
    return run_and_report(_command, argv, "python benchmarks/train.py")


def _command(
    width: Annotated[float, typer.Option(help="Width of the generator; 1 is Wav2Lip's size.")] = 1.0,
    clips: Annotated[int, typer.Option(help="Clips in a batch, one window of 5 frames each.")] = 16,
    rounds: Annotated[int, typer.Option(help="Measurements of each mode; the fastest is printed.")] = 3,
    memory_steps: Annotated[int, typer.Option(help="Steps over which the growth of memory is measured.")] = 2000,
) -> int:
    """Measure the speed of training a generator, compared with a plain implementation of the same network."""
    set_threads(0)
    seconds = race(
        {
            "plain": plain_step(width, clips),
            "ours": step(width, clips, with_additions=False),
            **{size: step(width, clips, with_additions=True, face_px=size) for size in get_args(FacePx)},
        },
        rounds,
    )
    plain_s, ours_s, added = seconds["plain"], seconds["ours"], seconds[FACE_SIZE_PX] / seconds["ours"] - 1
    sizes = [f"{size} px {seconds[size] / seconds[FACE_SIZE_PX]:.2f}" for size in get_args(FacePx)]
    print(
        f"width {width:g}, {clips} x {FRAMES} frames, {torch.get_num_threads()} threads: {ours_s:.2f} s per step, "
        f"compared with {plain_s:.2f} s in contiguous float32 (ratio {ours_s / plain_s:.2f}); LSTM and CBAM add "
        f"{added:.0%}; time of a step with both by size of the faces: {', '.join(sizes)}"
    )
    show_memory(memory_steps)
    return 0


def race(steps: dict[Name, Step], rounds: int) -> dict[Name, float]:
    """Step name -> seconds of its fastest round. One round before the measurement is a warm-up."""
    for run_step in steps.values():
        run_step()
    return {name: min(each) for name, each in _rounds(steps, rounds).items()}


def _rounds(steps: dict[Name, Step], rounds: int) -> dict[Name, list[float]]:
    seconds: dict[Name, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, run_step in steps.items():
            seconds[name].append(timed(run_step)[1])
    return seconds


def plain_step(width: float, clips: int) -> Step:
    network = Generator(GeneratorConfig(width=width, use_lstm=False, use_cbam=False))
    optimiser = torch.optim.Adam(network.parameters(), 1e-4)
    mel, faces, target = batch(clips)

    def run_step() -> None:
        optimiser.zero_grad(set_to_none=True)
        l1_loss(network(mel, faces), target).backward()
        optimiser.step()

    return run_step


def step(width: float, clips: int, *, with_additions: bool, face_px: FacePx = FACE_SIZE_PX) -> Step:
    settings = {"use_lstm": with_additions, "use_cbam": with_additions}
    network = Generator(GeneratorConfig(width=width, face_px=face_px, **settings))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser, averaged = torch.optim.Adam(network.parameters(), 1e-4), AveragedWeights(network, 0.99)
    mel, faces, target = batch(clips, face_px)
    faces = faces.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, faces.shape[:2])

    def run_step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with autocast("auto", torch.device("cpu")):
            generated = network(mel, faces)
        l1_loss(generated, target).backward()
        optimiser.step()
        averaged.update(network)

    return run_step


def batch(clips: int, face_px: FacePx = FACE_SIZE_PX) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    shape, size = (clips, FRAMES), (face_px, face_px)
    return torch.randn(*shape, 1, 80, 16), torch.rand(*shape, 6, *size), torch.rand(*shape, 3, *size)


def show_memory(num_steps: int) -> None:
    run_step = step(0.125, 2, with_additions=True)
    for _ in range(num_steps // 10):
        run_step()
    before = _peak_mib()
    for _ in range(num_steps - num_steps // 10):
        run_step()
    print(
        f"peak memory of a small training: {before:.0f} MiB after {num_steps // 10} steps, {_peak_mib():.0f} MiB after "
        f"{num_steps}"
    )


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    raise SystemExit(main())
