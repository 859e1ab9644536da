"""Pools of worker processes on this machine."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

from pipeline.core.parent_watch import end_with_parent


def worker_pool(num_workers: int, prepare: Callable[[], object]) -> ProcessPoolExecutor:
    """A pool of ``num_workers`` processes. Each calls ``prepare`` first, and ends if this process is killed."""
    context = multiprocessing.get_context("spawn")  # fork would copy the caller's threads
    return ProcessPoolExecutor(num_workers, mp_context=context, initializer=_start_worker, initargs=(prepare,))


def _start_worker(prepare: Callable[[], object]) -> None:
    end_with_parent()
    prepare()
