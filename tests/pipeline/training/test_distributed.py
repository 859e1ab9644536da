"""Training in two processes with Ray Train: same curve and weights as one process, restarts, errors."""

from __future__ import annotations

import io
import logging
import os
import pickle
import re
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch

from models import parallel
from pipeline.core.errors import TemporaryError, UserError
from pipeline.core.ray_cluster import open_ray
from pipeline.params import TrainSyncnetParams
from pipeline.stage import StageContext
from pipeline.training import distributed
from pipeline.training.expert import ExpertTrainee
from pipeline.training.loop import NonFiniteLossError
from pipeline.training.session import Trained, Training, run_training
from pipeline.training.trainee import Batch
from pipeline.training.windows import CutSyncWindows

pytestmark = pytest.mark.slow

CLIPS_PER_BATCH = 4
CHECKPOINT_EVERY = 2


@pytest.fixture(scope="module")
def two_cores() -> Iterator[None]:
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the processes cannot import the tests
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        with open_ray(2, 1, {}):
            yield


class FailingTrainee(ExpertTrainee):
    """An expert that calls ``fail`` in the last process at a step, at most ``times`` times. ``record`` counts them."""

    def __init__(self, *arguments: Any, step: int, times: int, record: Path, fail: Callable[[], None], **named: Any):
        super().__init__(*arguments, **named)
        self._failure = step, times, record, fail

    def step(self, batch: Batch, step: int) -> dict[str, torch.Tensor | float]:
        failing_step, times, record, fail = self._failure
        if step == failing_step and parallel.rank() == parallel.num_processes() - 1:
            written = record.read_text() if record.exists() else ""
            if len(written.splitlines()) < times:
                record.write_text(f"{written}{parallel.num_processes()} processes\n")
                fail()
        return super().step(batch, step)


def kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def meet_a_bug() -> None:
    raise ZeroDivisionError("of the trainee")


class OddError(Exception):
    """An exception that cannot be unpickled, since its arguments do not match its constructor."""

    def __init__(self, code: int, *, text: str) -> None:
        super().__init__(f"{text} ({code})")


def meet_an_odd_error() -> None:
    raise OddError(7, text="odd")


def training(context: StageContext, build: Callable[..., ExpertTrainee] = ExpertTrainee, **named: Any) -> Training[Any]:
    sizes = {"width": 0.0625, "embedding_dim": 16, "clips_per_batch": CLIPS_PER_BATCH, "windows_per_clip": 2}
    steps = {"num_steps": 8, "warmup_steps": 6, "validate_every": 4, "precision": "fp32"}
    steps["checkpoint_every"] = CHECKPOINT_EVERY
    params = TrainSyncnetParams(**context.params.train_syncnet.model_dump() | sizes | steps | {"learning_rate": 1e-5})
    cut = CutSyncWindows(params.windows_per_clip, params.min_gap_frames)
    return Training(params, cut, ("frames", "mel"), seed=5, build=partial(build, params, validation_seed=5, **named))


def weights(trained: Trained[Any]) -> torch.Tensor:
    return torch.cat([tensor.double().flatten() for tensor in trained.trainee.weights().values()])


ROUNDING = 5e-3
"""Relative tolerance for float32 after 8 steps with a gradient of norm 500. test_shares.py compares in float64."""


def assert_same_run(first: Trained[Any], second: Trained[Any], tolerance: float) -> None:
    assert [set(row) for row in first.report.curve] == [set(row) for row in second.report.curve]
    for row, other in zip(first.report.curve, second.report.curve, strict=True):
        for name in {"loss", "temperature", "learning_rate", "val_loss"} & set(row):
            assert other[name] == pytest.approx(row[name], rel=tolerance), (row["step"], name)
    assert (weights(second) - weights(first)).norm() <= tolerance / 100 * weights(first).norm()


MakeContext = Callable[..., StageContext]
Tracked = list[tuple[int, Mapping[str, float]]]


@pytest.fixture(scope="module")
def alone(make_context: MakeContext) -> tuple[Trained[Any], Tracked]:
    """A training in one process, and its tracked curve."""
    rows: Tracked = []
    context = make_context(1, rows.extend)
    return run_training(context, training(context)), rows


KILLED_AT, RESUMED_FROM = 5, 4


class Shared(NamedTuple):
    """A training in two processes. The second is killed once, at the step KILLED_AT, and both are started again."""

    trained: Trained[Any]
    rows: Tracked
    scratch: Path
    record: str
    log: str


@pytest.fixture(scope="module")
def shared(two_cores: None, make_context: MakeContext, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    rows: Tracked = []
    context, record, log = make_context(2, rows.extend), tmp_path_factory.mktemp("killed") / "record", io.StringIO()
    handler, logger = logging.StreamHandler(log), logging.getLogger("pipeline.training.distributed")
    failing = training(context, FailingTrainee, step=KILLED_AT, times=1, record=record, fail=kill_this_process)
    logger.addHandler(handler)
    try:
        trained = run_training(context, failing)
    finally:
        logger.removeHandler(handler)
    return Shared(trained, rows, context.scratch, record.read_text(), log.getvalue())


def test_two_processes_have_the_curve_of_one(alone: Any, shared: Shared) -> None:
    one, one_rows = alone
    assert_same_run(one, shared.trained, ROUNDING)
    names = [(step, set(scalars)) for step, scalars in one_rows]
    until_killed = [row for row in names if row[0] <= RESUMED_FROM]
    since_the_checkpoint_before = [row for row in names if row[0] > RESUMED_FROM - CHECKPOINT_EVERY]
    assert [(step, set(scalars)) for step, scalars in shared.rows] == until_killed + since_the_checkpoint_before


def test_one_process_resumes_from_the_checkpoint_of_two(alone: Any, shared: Shared, make_context: MakeContext) -> None:
    context = make_context(1)
    shutil.copy(shared.scratch / "previous.pt", context.scratch / "last.pt")
    resumed = run_training(context, training(context))
    assert resumed.report.resumed_from_step == 6
    assert_same_run(alone[0], resumed, ROUNDING)


def test_after_a_killed_process_training_resumes_from_the_last_checkpoint(shared: Shared) -> None:
    """test_killed_trainings.py compares the bytes of resumed trainings with those of undisturbed ones."""
    assert shared.record == "2 processes\n"
    assert "restarting the processes" in shared.log
    assert shared.trained.report.resumed_from_step == RESUMED_FROM


@pytest.fixture
def loggers_stay() -> Iterator[None]:
    """The function changes the project's loggers: it usually runs in Ray's processes."""
    own = logging.getLogger("pipeline")
    level, propagate, handlers = own.level, own.propagate, list(own.handlers)
    yield
    own.setLevel(level)
    own.propagate, own.handlers[:] = propagate, handlers


def test_an_error_for_the_user_arrives_as_it_is_and_a_lost_process_is_left_to_ray(
    loggers_stay: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.train.get_context", lambda: SimpleNamespace(get_world_rank=lambda: 1))
    sent: list[tuple[str, Any]] = []
    messages = SimpleNamespace(put=sent.append)

    def ends_with(error: Exception) -> Callable[[Any], None]:
        def work(log: Any) -> None:
            raise error

        return work

    unusable, lost = NonFiniteLossError("step 4: the loss is nan"), ConnectionResetError("reset")
    for error in (unusable, lost):
        with pytest.raises(type(error)):
            distributed._work_in_process({"work": ends_with(error), "messages": messages, "level": logging.INFO})
    assert sent == [("error", unusable)]
    arrived = pickle.loads(pickle.dumps(unusable))
    assert type(arrived) is NonFiniteLossError and str(arrived) == str(unusable)
    assert not hasattr(arrived, "__notes__")


class InThisProcess:
    """Stands for Ray Train's trainer: runs the second process's work in this one. The queue of messages is Ray's."""

    def __init__(self, work: Callable[[dict[str, Any]], None], *, train_loop_config: dict[str, Any], **_: Any) -> None:
        self._run = partial(work, train_loop_config)

    def fit(self) -> None:
        from ray.train import TrainingFailedError

        try:
            self._run()
        except Exception as error:
            raise TrainingFailedError(str(error)) from error


def test_a_bug_in_a_process_is_raised_with_the_traceback_of_that_process(
    two_cores: None,
    loggers_stay: None,
    make_context: MakeContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An exception loses its traceback in Ray's queue, which is a process of its own."""
    monkeypatch.setattr("ray.train.torch.TorchTrainer", InThisProcess)
    monkeypatch.setattr("ray.train.get_context", lambda: SimpleNamespace(get_world_rank=lambda: 1))
    record, context = tmp_path / "record", make_context(2)
    with pytest.raises(ZeroDivisionError) as caught:
        run_training(context, training(context, FailingTrainee, step=0, times=9, record=record, fail=meet_a_bug))
    printed = "".join(traceback.format_exception(caught.value))
    assert "in meet_a_bug\n" in printed and "ZeroDivisionError: of the trainee" in printed
    assert len(record.read_text().splitlines()) == 1  # the processes are not started again


def test_an_exception_that_cannot_be_unpickled_is_replaced_and_keeps_its_traceback() -> None:
    with pytest.raises(OddError) as caught:
        meet_an_odd_error()
    arrived = pickle.loads(pickle.dumps(distributed._portable(caught.value)))
    assert type(arrived) is RuntimeError
    printed = "".join(traceback.format_exception(arrived))
    assert "in meet_an_odd_error\n" in printed and "OddError: odd (7)" in printed


def test_too_many_restarts_are_a_temporary_error(
    two_cores: None, make_context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[int] = []

    class Lost(distributed._Attempt):
        def __init__(self, work: Any, num_processes: int, use_gpu: bool, shared_dir: Path) -> None:
            self.error, self.results, self.end_reason = None, [], "a node was lost"
            starts.append(num_processes)

        def follow(self, log_curve: Any) -> None:
            pass

    monkeypatch.setattr(distributed, "_Attempt", Lost)
    context = make_context(2)
    with pytest.raises(
        TemporaryError, match="a node was lost, 4 times; run the command again to continue from the last"
    ):
        run_training(context, training(context))
    assert starts == [2] * 4


def test_a_batch_that_cannot_be_divided_equally_is_rejected(make_context: MakeContext) -> None:
    context = make_context(3)
    with pytest.raises(UserError, match=r"4 clips cannot be divided equally among 3 processes; set .* one of 1, 2, 4"):
        run_training(context, training(context))


def test_more_processes_than_cores_are_rejected(
    two_cores: None, make_context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "num_cores", lambda: 2)
    context = make_context(4)
    with pytest.raises(UserError, match=r"is 4 and each process needs one core, but this machine has 2; in params"):
        run_training(context, training(context))


@pytest.mark.parametrize(
    ("address", "resources", "device", "remedy"),
    [
        (None, {"GPU": 1}, "auto", "set runtime.num_processes to at most 1 or set runtime.device to cpu"),
        (None, {}, "cuda", "in params.yaml, set runtime.device to cpu"),
        ("10.0.0.1:6379", {"CPU": 2}, "cpu", "in params.yaml, set runtime.num_processes to at most 2"),
        ("10.0.0.1:6379", {}, "auto", "add nodes with cores to the cluster"),
    ],
)
def test_the_error_of_too_few_devices_names_what_helps(
    monkeypatch: pytest.MonkeyPatch, address: str | None, resources: dict[str, float], device: Any, remedy: str
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address:
        monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=rf"; .*{re.escape(remedy)}$"):
        distributed._takes_gpus(resources, 4, device)


@pytest.mark.parametrize(
    ("error", "is_loss"),
    [
        (RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.2]:4711"), True),
        (torch.distributed.DistNetworkError("the server socket is gone"), True),
        (ConnectionResetError("reset"), True),
        (torch.OutOfMemoryError("CUDA out of memory"), False),
        (RuntimeError("shapes cannot be multiplied"), False),
        (ValueError("params.yaml"), False),
    ],
)
def test_a_lost_process_is_distinguished_from_errors_of_the_program(error: Exception, is_loss: bool) -> None:
    assert distributed._is_lost_process(error) is is_loss
