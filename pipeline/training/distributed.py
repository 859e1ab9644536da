"""The same work in several processes, through Ray Train: on this machine, or on the cluster of RAY_ADDRESS.

Work is restarted, in new processes, where one of them or its machine is lost; what it does not find again on disk it
does again. What the program itself raises ends the run at once and reaches the caller as it was raised, a bug with its
traceback.
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

import models
import pipeline
from pipeline.core.choices import Device
from pipeline.core.errors import TemporaryError, UserError, exit_code_of
from pipeline.core.ray_cluster import is_cluster, open_ray
from pipeline.core.resources import num_cores

logger = logging.getLogger(__name__)

R = TypeVar("R")
Rows = Iterable[tuple[int, Mapping[str, float]]]

MAX_RESTARTS = 3
_STORE_BYTES = 200_000_000  # only small messages pass through it
_POLL_S = 1.0


def run_in_processes(
    work: Callable[[Callable[[Rows], bool]], R],
    num_processes: int,
    device: Device,
    shared_dir: Path,
    log_curve: Callable[[Rows], object],
) -> R:
    """What ``work``, called with a log for its curve in each of the processes, gives in the first one.

    ``device`` is ``auto | cpu | cuda``: a GPU for each process (NCCL) or none (gloo); ``auto`` takes GPUs where there
    are any. The first process's log lines and curve arrive here. On a cluster every node must see ``shared_dir``.
    Raises UserError where there are too few cores or GPUs, TemporaryError once there were too many restarts.
    """
    with open_ray(num_processes, [pipeline, models], _STORE_BYTES, {}) as ray:
        use_gpu = _takes_gpus(ray.cluster_resources(), num_processes, device)
        for num_restarts in range(MAX_RESTARTS + 1):
            attempt = _Attempt(work, num_processes, use_gpu, shared_dir)
            attempt.follow(log_curve)
            if attempt.error is not None:
                raise attempt.error
            if attempt.results:
                return attempt.results[0]
            if num_restarts < MAX_RESTARTS:
                logger.warning("%s; starting the processes again", attempt.loss)
    raise TemporaryError(f"{attempt.loss}, {MAX_RESTARTS + 1} times; running again goes on from the last checkpoint")


def _takes_gpus(resources: Mapping[str, float], num_processes: int, device: Device) -> bool:
    use_gpu = device == "cuda" or (device == "auto" and resources.get("GPU", 0) > 0)
    if use_gpu:
        num, unit, remedy = int(resources.get("GPU", 0)), "GPU", "lower it, or set runtime.device to cpu,"
    else:  # Ray on this machine has as many cores as it was told
        num, unit, remedy = int(resources["CPU"]) if is_cluster() else num_cores(), "core", "lower it"
    if num < num_processes:
        where = f"the cluster {os.environ['RAY_ADDRESS']}" if is_cluster() else "this machine"
        raise UserError(
            f"runtime.num_processes is {num_processes}, one {unit} each, but {where} has {num}; {remedy} in params.yaml"
        )
    return use_gpu


class _Attempt:
    """One start of all processes."""

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
            # Ray Train would restart after the program's own errors, too.
            run_config=RunConfig(
                name="ray",
                storage_path=str(shared_dir),
                failure_config=FailureConfig(max_failures=0, controller_failure_limit=MAX_RESTARTS),
            ),
        )
        self.error: Exception | None = None
        """What the program raised."""
        self.results: list[Any] = []
        """Of the first process, once it is done."""
        self.loss = "a process of the training was lost"
        """How the attempt ended, where it has neither."""

    def follow(self, log_curve: Callable[[Rows], object]) -> None:
        """Until all processes have ended."""
        # In a thread, so that a signal finds this one, and Ray Train puts no handler of its own in place.
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
                name, level, text = content
                logging.getLogger(name).log(level, "%s", text)
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
            told = [line for line in str(error).splitlines() if line.strip()]
            self.loss = f"a process of the training was lost ({told[-1].strip() if told else type(error).__name__})"


class _SendLines(logging.Handler):
    def __init__(self, messages: Any) -> None:
        super().__init__()
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.put(("line", (record.name, record.levelno, record.getMessage())))


def _is_lost_process(error: Exception) -> bool:
    """Whether it is what torch raises where another process is gone; gloo has no class of its own for that."""
    if isinstance(error, ConnectionError | torch.distributed.DistError):
        return True
    told = re.search(r"gloo|NCCL|onnection (closed|reset|refused)", str(error))
    return type(error) is RuntimeError and told is not None


def _portable(error: Exception) -> Exception:
    """An error that reaches the process that started these, with the traceback of a bug as its note."""
    if exit_code_of(error) is None:
        error.add_note("".join(["in a process of the training:\n", *traceback.format_exception(error)]))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception as problem:  # of any kind: it is the error's own class that packs and unpacks it
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
        return True  # with the process that started these

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
