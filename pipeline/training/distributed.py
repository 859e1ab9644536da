"""Training in several processes with Ray Train, on this machine or on the cluster of RAY_ADDRESS.

If a process or its machine is lost, all processes are restarted and continue from the last checkpoint. An error of the
program itself ends the run at once. The caller gets the same exception, and a bug carries the traceback of its process.
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import re
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

import pipeline
from pipeline.core.choices import Device
from pipeline.core.errors import TemporaryError, UserError, exit_code_of
from pipeline.core.ray_cluster import is_cluster, open_ray
from pipeline.core.resources import num_cores

logger = logging.getLogger(__name__)

R = TypeVar("R")
Rows = Iterable[tuple[int, Mapping[str, float]]]

MAX_RESTARTS = 3
_STORE_BYTES = 200_000_000  # it holds small messages only
_POLL_S = 1.0


def run_in_processes(
    work: Callable[[Callable[[Rows], bool]], R],
    num_processes: int,
    device: Device,
    shared_dir: Path,
    log_curve: Callable[[Rows], object],
) -> R:
    """Run ``work`` in each process and return the result of the first process.

    ``work`` gets a function that logs rows of the curve. Log lines and curve rows of the first process are forwarded
    to this process. ``device``: each process has its own GPU (``cuda``, NCCL) or none (``cpu``, gloo); ``auto`` uses
    GPUs if the machine or cluster has any. On a cluster every node needs access to ``shared_dir``.
    Raises UserError if there are too few cores or GPUs, and TemporaryError after too many restarts.
    """
    with open_ray(num_processes, _STORE_BYTES, {}) as ray:
        use_gpu = _takes_gpus(ray.cluster_resources(), num_processes, device)
        for num_restarts in range(MAX_RESTARTS + 1):
            attempt = _Attempt(work, num_processes, use_gpu, shared_dir)
            attempt.follow(log_curve)
            if attempt.error is not None:
                raise attempt.error
            if attempt.results:
                return attempt.results[0]
            if num_restarts < MAX_RESTARTS:
                logger.warning("%s; restarting the processes", attempt.end_reason)
    raise TemporaryError(
        f"{attempt.end_reason}, {MAX_RESTARTS + 1} times; run the command again to continue from the last checkpoint"
    )


def _takes_gpus(resources: Mapping[str, float], num_processes: int, device: Device) -> bool:
    use_gpu = device == "cuda" or (device == "auto" and resources.get("GPU", 0) > 0)
    if use_gpu:
        num, unit = int(resources.get("GPU", 0)), "GPU"
    else:  # local Ray reports the number of cores that it was started with, not the machine's
        num, unit = int(resources.get("CPU", 0)) if is_cluster() else num_cores(), "core"
    if num < num_processes:
        where = f"the cluster {os.environ['RAY_ADDRESS']}" if is_cluster() else "this machine"
        remedies = [f"set runtime.num_processes to at most {num}"] if num > 0 else []
        remedies += ["set runtime.device to cpu"] if use_gpu else []
        remedy = f"in params.yaml, {' or '.join(remedies)}" if remedies else "add nodes with cores to the cluster"
        raise UserError(
            f"runtime.num_processes is {num_processes} and each process needs one {unit}, but {where} has {num}; "
            f"{remedy}"
        )
    return use_gpu


class _Attempt:
    """One run of all processes, from their start to their end."""

    def __init__(self, work: Callable[..., Any], num_processes: int, use_gpu: bool, shared_dir: Path) -> None:
        import ray
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer
        from ray.util.queue import Queue
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._messages = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
        self._trainer = TorchTrainer(
            _work_in_process,
            train_loop_config={"work": work, "messages": self._messages, "level": logging.getLogger().level},
            scaling_config=ScalingConfig(num_workers=num_processes, use_gpu=use_gpu),
            # Ray Train's own restarts are off, since it also restarts after errors of the program.
            run_config=RunConfig(
                name="ray",
                storage_path=str(shared_dir),
                failure_config=FailureConfig(max_failures=0, controller_failure_limit=MAX_RESTARTS),
            ),
        )
        self.error: Exception | None = None
        """Exception of the program."""
        self.results: list[Any] = []
        """Result of the first process, after it has finished."""
        self.end_reason = "a process of the training was lost"
        """Reason why the attempt ended without error and without result."""

    def follow(self, log_curve: Callable[[Rows], object]) -> None:
        """Forward the messages of the processes until all processes have ended."""
        # Ray Train runs in a thread so that the main thread receives signals. In a thread it installs no handlers.
        thread = threading.Thread(target=self._fit, name="ray-train", daemon=True)
        thread.start()
        while thread.is_alive() or not self._messages.empty():
            try:
                kind, content = self._messages.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if kind == "curve":
                log_curve(content)
            elif kind == "line":
                name, level, text, progress = content
                logging.getLogger(name).log(level, "%s", text, extra={"progress": progress})
            elif kind == "result":
                self.results.append(content)
            elif self.error is None:
                self.error = content
        self._messages.shutdown()

    def _fit(self) -> None:
        from ray.exceptions import RayError
        from ray.train import TrainingFailedError

        try:
            self._trainer.fit()
        except (TrainingFailedError, RayError) as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            cause = lines[-1].strip() if lines else type(error).__name__
            self.end_reason = f"a process of the training was lost ({cause})"


class _SendLines(logging.Handler):
    """Sends log records to the process that started the training."""

    def __init__(self, messages: Any) -> None:
        super().__init__()
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        progress = getattr(record, "progress", None)
        self._messages.put(("line", (record.name, record.levelno, record.getMessage(), progress)))


def _is_lost_process(error: Exception) -> bool:
    """Whether torch raised the error because another process was lost. Gloo raises a plain RuntimeError for that."""
    if isinstance(error, ConnectionError | torch.distributed.DistError):
        return True
    found = re.search(r"gloo|NCCL|onnection (closed|reset|refused)", str(error))
    return type(error) is RuntimeError and found is not None


def _portable(error: Exception) -> Exception:
    """The error, or a RuntimeError in its place if it cannot be pickled. A bug gets its traceback as a note."""
    if exit_code_of(error) is None:
        error.add_note("".join(["in a process of the training:\n", *traceback.format_exception(error)]))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception as problem:  # pickling runs code of the error's class, which can raise anything
        stand_in = RuntimeError(f"{type(error).__name__}: {error} (not picklable: {problem})")
        for note in getattr(error, "__notes__", ()):
            stand_in.add_note(note)
        return stand_in
    return error


def _work_in_process(config: dict[str, Any]) -> None:
    import ray.train

    messages = config["messages"]
    is_first = ray.train.get_context().get_world_rank() == 0
    own_loggers = logging.getLogger(pipeline.__name__)
    handler = _SendLines(messages) if is_first else logging.NullHandler()
    own_loggers.setLevel(config["level"])
    own_loggers.propagate = False
    own_loggers.addHandler(handler)

    def send(rows: Rows) -> bool:
        messages.put(("curve", list(rows)))
        return True  # the starting process has the rows

    try:
        result = config["work"](send)
        if is_first:
            messages.put(("result", result))
    except Exception as error:
        if not _is_lost_process(error):
            messages.put(("error", _portable(error)))
        raise
    finally:
        own_loggers.removeHandler(handler)
