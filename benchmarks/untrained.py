"""What the benchmarks of dubbing share: a generator with random weights, and measurements in a process of their own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def run_apart(work: Callable[[], T]) -> T:
    """The result of ``work()`` in a new process, which has imported and allocated nothing before."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work).result()


def save_generator(folder: Path, width: float) -> None:
    """Save a generator of this width with random weights, always the same."""
    import torch

    from models.generator import Generator, GeneratorConfig
    from pipeline.inference.saved_model import save_model

    torch.manual_seed(0)
    config = GeneratorConfig(width=width)
    save_model(folder, kind="generator", config=asdict(config), state=Generator(config).state_dict(), info={})
