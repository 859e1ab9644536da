"""Speed of training SyncNet, the generator with LSTM and CBAM, and LipGAN on a GPU; its outputs compared with a CPU's.

python -m benchmarks.gpu_speed OUTPUT.json [--width 1] [--clips 64] [--steps 20] [--peak-tflops N] [--device cuda]

A step is forward, a loss, backward and Adam. Modes:

    fp32         float32 in all layers
    tf32         torch's default: as fp32, but convolutions and the LSTM round their inputs to TF32
    bf16         bfloat16 autocast, channels-last memory
    compile      bf16, compiled
    graphs       bf16, compiled, as CUDA graphs
    graphs_only  bf16 as CUDA graphs; it needs neither Triton nor a C compiler, which the other two need

A CPU runs fp32 and bf16. The share of peak compares the operations of the forward and backward passes with the rate
that --peak-tflops states, or else with that of a large bf16 matrix product measured here. If the memory is too small,
the batch is halved. A mode that fails is recorded with its error. The file is written after each measurement.
"""

from __future__ import annotations

import copy
import gc
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import torch
import typer
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu_networks import NETWORKS, build, make_sensitive, relative_error
from pipeline.core import atomic
from pipeline.core.choices import Device
from pipeline.core.command_line import run_and_report
from pipeline.core.signals import exit_on_signals
from pipeline.inference.device import select_device
from pipeline.metrics.exact import full_float32

COMPILERS: dict[str, dict[str, str]] = {
    "compile": {},
    "graphs": {"mode": "reduce-overhead"},
    "graphs_only": {"backend": "cudagraphs"},
}
"""Mode -> arguments of torch.compile. A failed capture of graphs can spoil later modes, so these come last."""
PLAIN_MODES = {"cuda": ("fp32", "tf32", "bf16"), "cpu": ("fp32", "bf16")}
MODES = {"cuda": (*PLAIN_MODES["cuda"], *COMPILERS), "cpu": PLAIN_MODES["cpu"]}
"""Device -> modes. The outputs of the plain ones are compared with a CPU's."""
WARM_UP_STEPS = 4
NUM_COMPARED_CLIPS = 8
MATRIX_SIZE = {"cuda": 8192, "cpu": 256}


def main(argv: Sequence[str] | None = None) -> int:
    return run_and_report(_command, argv, "python -m benchmarks.gpu_speed")


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

    for mode in PLAIN_MODES[chosen.type]:
        for network in NETWORKS:
            record("difference_from_cpu", network, mode, partial(difference, network, mode, width, chosen))
    for mode in MODES[chosen.type]:
        for network in NETWORKS:
            record("speed", network, mode, partial(speed_that_fits, network, mode, width, clips, steps, chosen, peak))
    return 0


def _measured(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The results of ``measure``, or the error that it raised or that they contain."""
    try:
        found = measure()
    except Exception as error:  # a compiler may fail in many ways; the other modes are still measured
        return {"error": f"{type(error).__name__}: {error}"[:500]}
    wrong = [f"{name} is {value}" for name, value in found.items() if not math.isfinite(value)]
    return {"error": "; ".join(wrong)} if wrong else found


def _float32(mode: str) -> AbstractContextManager[object]:
    return full_float32() if mode == "fp32" else nullcontext()


def _memory_format(mode: str) -> torch.memory_format:
    return torch.contiguous_format if mode in ("fp32", "tf32") else torch.channels_last


def _autocast(mode: str, device: torch.device) -> AbstractContextManager[object]:
    return torch.autocast(device.type, torch.bfloat16, enabled=mode not in ("fp32", "tf32"))


def speed_that_fits(
    network: str, mode: str, width: float, clips: int, steps: int, device: torch.device, peak_tflops: float
) -> dict[str, Any]:
    """``speed`` with ``clips``, or with half as many as often as the memory is too small. ``clips``: those that fit."""
    while True:
        try:
            return {"clips": clips} | speed(network, mode, width, clips, steps, device, peak_tflops)
        except torch.OutOfMemoryError:
            if clips < 4:  # BatchNorm needs two
                raise
        clips //= 2
        _free_memory(device)


def _free_memory(device: torch.device) -> None:
    """Drop compiled networks and the memory of what was measured before."""
    torch.compiler.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def speed(
    network: str, mode: str, width: float, clips: int, steps: int, device: torch.device, peak_tflops: float
) -> dict[str, Any]:
    """Samples per second of training, and the share of peak of the forward and backward passes.

    A sample is one window of 5 frames. ``tflop_per_step`` counts the operations of convolutions and matrix products;
    on a GPU it lacks those of the LSTM.
    """
    _free_memory(device)
    model, cpu_inputs = build(network, width, clips)
    model.to(device, memory_format=_memory_format(mode))  # type: ignore[call-overload]
    audio, faces = (each.to(device) for each in cpu_inputs)
    run = torch.compile(model, **COMPILERS[mode]) if mode in COMPILERS else model  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(model.parameters(), 1e-4)

    def step(forward: Callable[..., torch.Tensor]) -> None:
        optimiser.zero_grad(set_to_none=True)
        with _autocast(mode, device):
            outputs = forward(audio, faces)
        outputs.float().sub(0.5).abs().mean().backward()
        optimiser.step()

    with _float32(mode):
        torch.backends.cudnn.benchmark = True  # all steps have the same sizes; full_float32 disables it
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
    """How far the outputs on ``device`` are from those on a CPU in fp32, in eval mode.

    Largest and mean absolute difference, and ``relative_error``.
    """
    _free_memory(device)
    model, (audio, faces) = build(network, width, NUM_COMPARED_CLIPS)
    make_sensitive(model, (audio, faces))
    other = copy.deepcopy(model).to(device, memory_format=_memory_format(mode))  # type: ignore[call-overload]
    with torch.inference_mode(), _float32(mode):
        expected = model(audio, faces)
        with _autocast(mode, device):
            outputs = other(audio.to(device), faces.to(device)).float().cpu()
    off = (outputs - expected).abs()
    return {"largest": float(off.max()), "mean": float(off.mean()), "relative": relative_error(outputs, expected)}


if __name__ == "__main__":
    exit_on_signals()
    raise SystemExit(main())
