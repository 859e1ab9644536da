"""Device, precision and number of CPU threads."""

from __future__ import annotations

import functools
import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from pipeline.core.choices import Device, Precision
from pipeline.core.errors import UserError
from pipeline.core.resources import num_cores


def select_device(name: Device) -> torch.device:
    """``auto`` selects CUDA if torch can use it, else the CPU. Raises UserError if ``cuda`` is unavailable."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "the device is set to cuda, but torch finds no CUDA device; set it to auto or cpu "
            "(params.yaml: runtime.device, or --device)"
        )
    return torch.device(name)


@functools.cache
def _cpu_has_bf16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


@functools.cache
def _cpu_runs_lstm_in_bf16() -> bool:
    """Most layers run in bfloat16 on any processor, only slowly. torch's LSTM needs AVX-512 on x86."""
    lstm = torch.nn.LSTM(1, 1)
    try:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            lstm(torch.zeros(1, 1, 1))
    except RuntimeError:
        return False
    return True


def uses_bf16(precision: Precision, device: torch.device) -> bool:
    """Whether ``precision`` means bfloat16 autocast on this device. ``auto``: if the hardware supports bfloat16.

    Raises UserError if ``bf16`` is set and the processor cannot run an LSTM in bfloat16.
    """
    if precision == "auto":
        if device.type == "cuda":
            return torch.cuda.is_bf16_supported(including_emulation=False)
        return _cpu_has_bf16()
    if precision == "bf16" and device.type == "cpu" and not _cpu_runs_lstm_in_bf16():
        raise UserError(
            "precision is bf16, but torch cannot compute all layers in bfloat16 on this processor (its LSTM needs "
            "AVX-512); allowed here: auto, fp32 (params.yaml: precision of train_syncnet, train_evaluator and "
            "train_gan)"
        )
    return precision == "bf16"


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Context of bfloat16 autocast if ``uses_bf16``, else a context without effect."""
    if uses_bf16(precision, device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def set_threads(num_threads: int) -> None:
    """Set the number of torch's CPU threads.

    0 means all cores available to this process, divided by the training's processes on this machine.
    """
    num_sharing = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # set by Ray Train
    torch.set_num_threads(num_threads or max(1, num_cores() // num_sharing))
