"""One GPU for each stage: stages that run at once use different GPUs if there are several."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from pipeline.params import RuntimeParams

VISIBLE_VARIABLE = "CUDA_VISIBLE_DEVICES"


def gpus_of(runtime: RuntimeParams) -> list[str]:
    """The GPUs that stages may use, in the form that ``CUDA_VISIBLE_DEVICES`` takes. Empty on a CPU."""
    if runtime.device == "cpu":
        return []
    import torch  # imported here because the import takes seconds

    if not torch.cuda.is_available():
        return []
    count = torch.cuda.device_count()
    given = [name.strip() for name in os.environ.get(VISIBLE_VARIABLE, "").split(",") if name.strip()]
    return given[:count] if given else [str(number) for number in range(count)]


class GpuShares:
    """Gives each running stage the GPU that the fewest other stages use."""

    def __init__(self, gpus: Sequence[str]) -> None:
        self._num_stages = dict.fromkeys(gpus, 0)
        self._lock = threading.Lock()

    @contextmanager
    def one(self) -> Iterator[Mapping[str, str]]:
        """The variables that make one GPU visible to the process of a stage. Empty if there are fewer than two GPUs."""
        if len(self._num_stages) < 2:
            yield {}
            return
        with self._lock:
            gpu = min(self._num_stages, key=self._num_stages.__getitem__)
            self._num_stages[gpu] += 1
        try:
            yield {VISIBLE_VARIABLE: gpu}
        finally:
            with self._lock:
                self._num_stages[gpu] -= 1
