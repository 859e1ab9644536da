"""Speed of training SyncNet, the generator with LSTM and CBAM, and LipGAN on a GPU; its outputs compared with a CPU's.

python -m benchmarks.gpu_speed OUTPUT.json [--width 1] [--clips 64] [--steps 20] [--peak-tflops N] [--device cuda]

A step is forward, a loss, backward and Adam. Modes: fp32; bf16 (channels-last memory); graphs (the same, compiled, with
CUDA graphs); compile (compiled only). A CPU runs the first two. The share of peak compares the operations of the
forward and backward passes with the rate that --peak-tflops states, or else with that of a large bf16 matrix product
measured here. A mode that fails is recorded with its error. The file is written after each measurement.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import torch
import typer
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from models.baselines.lipgan import LipGANConfig, LipGANGenerator
from models.generator import Generator, GeneratorConfig
from models.syncnet import FACE_CHANNELS, SyncNet, SyncNetConfig
from pipeline.core import atomic
from pipeline.core.choices import Device
from pipeline.core.command_line import run_command
from pipeline.inference.device import select_device

NETWORKS = ("syncnet", "lstm_cbam", "lipgan")
MODES = ("fp32", "bf16", "graphs", "compile")
NUM_CPU_MODES = 2
COMPILERS = {"graphs": "reduce-overhead", "compile": "default"}
"""Mode -> mode of torch.compile."""
FRAMES = 5
WARM_UP_STEPS = 3
MATRIX_SIZE = {"cuda": 8192, "cpu": 256}
Inputs = tuple[torch.Tensor, torch.Tensor]
"""Audio and faces."""


class SyncPair(nn.Module):
    """SyncNet as one module: mel [B, 1, 80, 16], lower halves [B, 15, 48, 96] -> cosines [B]."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.network = SyncNet(SyncNetConfig(width=width, linear_heads=True))

    def forward(self, mel: torch.Tensor, lower: torch.Tensor) -> torch.Tensor:
        return (self.network.embed_audio(mel) * self.network.embed_faces(lower)).sum(dim=1)


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(_command, argv, "python -m benchmarks.gpu_speed")


def _command(
    output: Annotated[Path, typer.Argument(help="JSON file of the results.")],
    width: Annotated[float, typer.Option(help="Width of the networks; 1 is the published size.")] = 1.0,
    clips: Annotated[int, typer.Option(help="Clips in a batch, one window of 5 frames each.")] = 64,
    steps: Annotated[int, typer.Option(help="Measured steps of each mode.")] = 20,
    peak_tflops: Annotated[float | None, typer.Option(help="Dense bf16 rate of the processor in TFLOP/s.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cuda",
) -> int:
    """Measure the speed of training on a GPU, and compare its outputs with a CPU's."""
    chosen = select_device(cast(Device, device))
    torch.backends.cudnn.benchmark = True
    measured = matrix_product_tflops(chosen)
    peak = peak_tflops or measured
    results: dict[str, Any] = {
        "device": torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "width": width,
        "clips": clips,
        "matrix_product_tflops": measured,
        "peak_tflops": peak,
        "speed": {network: {} for network in NETWORKS},
        "difference_from_cpu": {network: {} for network in NETWORKS},
    }

    def record(kind: str, network: str, mode: str, measure: Callable[[], dict[str, Any]]) -> None:
        results[kind][network][mode] = found = _measured(measure)
        print(kind, network, mode, found, flush=True)
        atomic.write_json(output, results)  # a run that is stopped keeps what was measured before

    for mode in MODES[:NUM_CPU_MODES]:
        for network in NETWORKS:
            record("difference_from_cpu", network, mode, partial(difference, network, mode, width, chosen))
    for mode in MODES if chosen.type == "cuda" else MODES[:NUM_CPU_MODES]:
        for network in NETWORKS:
            record("speed", network, mode, partial(speed, network, mode, width, clips, steps, chosen, peak))
    return 0


def _measured(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return measure()
    except Exception as error:  # a compiler may fail in many ways; the other modes are still measured
        return {"error": f"{type(error).__name__}: {error}"[:500]}


def build(network: str, width: float, clips: int) -> tuple[nn.Module, Inputs]:
    """An untrained network and random inputs, equal in each call."""
    torch.manual_seed(0)
    if network == "syncnet":
        return SyncPair(width), (torch.randn(clips, 1, 80, 16), torch.rand(clips, FACE_CHANNELS, 48, 96))
    steps = 27 if network == "lipgan" else 16
    inputs = torch.randn(clips, FRAMES, 1, 80, steps), torch.rand(clips, FRAMES, 6, 96, 96)
    if network == "lipgan":
        return LipGANGenerator(LipGANConfig(width=width)), inputs
    return Generator(GeneratorConfig(width=width)), inputs


def speed(
    network: str, mode: str, width: float, clips: int, steps: int, device: torch.device, peak_tflops: float
) -> dict[str, Any]:
    """Samples per second of training, and the share of peak of the forward and backward passes.

    A sample is one window of 5 frames. ``tflop_per_step`` counts the operations of convolutions and matrix products;
    on a GPU it lacks those of the LSTM.
    """
    torch.compiler.reset()
    model, cpu_inputs = build(network, width, clips)
    model.to(device, memory_format=torch.channels_last if mode != "fp32" else torch.contiguous_format)  # type: ignore[call-overload]
    audio, faces = (each.to(device) for each in cpu_inputs)
    run = torch.compile(model, mode=COMPILERS[mode]) if mode in COMPILERS else model
    optimiser = torch.optim.Adam(model.parameters(), 1e-4)

    def step(forward: Callable[..., torch.Tensor]) -> None:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=mode != "fp32"):
            outputs = forward(audio, faces)
        outputs.float().sub(0.5).abs().mean().backward()
        optimiser.step()

    with FlopCounterMode(display=False) as counter:
        step(model)
    tflop = counter.get_total_flops() / 1e12
    for _ in range(WARM_UP_STEPS):
        step(run)
    seconds = seconds_of(lambda: step(run), steps, device)
    return {
        "samples_per_s": clips / seconds,
        "tflop_per_step": tflop,
        "share_of_peak": tflop / seconds / peak_tflops,
    }


def matrix_product_tflops(device: torch.device) -> float:
    """Rate of a product of two large square bf16 matrices."""
    size = MATRIX_SIZE[device.type]
    one, other = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(WARM_UP_STEPS):
        one @ other
    return 2 * size**3 / seconds_of(lambda: one @ other, 20, device) / 1e12


def seconds_of(call: Callable[[], object], times: int, device: torch.device) -> float:
    """Mean time of one call."""
    _wait(device)
    began = time.monotonic()
    for _ in range(times):
        call()
    _wait(device)
    return (time.monotonic() - began) / times


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def difference(network: str, mode: str, width: float, device: torch.device) -> dict[str, float]:
    """Largest and mean absolute difference of the outputs on ``device`` from those on a CPU in fp32. No training."""
    model, (audio, faces) = build(network, width, 2)
    model.eval()
    other = copy.deepcopy(model).to(device)
    with torch.inference_mode():
        expected = model(audio, faces)
        with torch.autocast(device.type, torch.bfloat16, enabled=mode == "bf16"):
            outputs = other(audio.to(device), faces.to(device))
    off = (outputs.float().cpu() - expected).abs()
    return {"largest": float(off.max()), "mean": float(off.mean())}


if __name__ == "__main__":
    raise SystemExit(main())
