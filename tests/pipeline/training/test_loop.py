"""The training loop: resume, delivery of the curve, selection of weights, early stopping, bad losses."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.training.checkpoint import CheckpointStore
from pipeline.training.loop import NonFiniteLossError, Schedule, _key_figure, train
from pipeline.training.optimiser_step import clipped_step, learning_rate_factor
from pipeline.training.trainee import Batch

SCHEDULE = Schedule(num_steps=23, validate_every=7, checkpoint_every=5, log_every=4)


class Numbers:
    """A batch source. As with the real stream, batch n depends on n only."""

    def __init__(self) -> None:
        self.position = 0
        self.wait_seconds = 0.0

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.position = state["position"]

    def __iter__(self) -> Iterator[tuple[Batch, dict[str, Any]]]:
        while True:
            generator = torch.Generator().manual_seed(self.position)
            self.position += 1
            yield {"x": torch.randn(8, 3, generator=generator)}, {"position": self.position}

    def close(self) -> None:
        pass


class Regression:
    """A linear regression. With ``dies_at`` it raises KeyboardInterrupt at that step."""

    def __init__(self, dies_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.network = torch.nn.Linear(3, 1)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=0.1)
        self.dies_at = dies_at

    def step(self, batch: Batch, step: int) -> dict[str, torch.Tensor | float]:
        if step == self.dies_at:
            raise KeyboardInterrupt
        noise = torch.rand(())  # the state of the global generator must be restored too
        loss = (self.network(batch["x"]).squeeze(1) - batch["x"].sum(dim=1) - noise).square().mean()
        norm = clipped_step(self.optimiser, loss, 1.0, learning_rate_factor(step, 3, 23))
        return {"loss": loss.detach(), "norm": norm}

    def validate(self) -> dict[str, float]:
        return {"loss": self.network.bias.abs().item()}

    def weights(self) -> dict[str, torch.Tensor]:
        return self.network.state_dict()

    def use_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        self.network.load_state_dict(weights)

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])


def into(rows: list) -> Callable[[Iterable[Any]], bool]:
    """A log that appends to ``rows``."""

    def log(new: Iterable[Any]) -> bool:
        rows.extend(new)
        return True

    return log


def without_repeats(rows: list) -> list:
    return [row for k, row in enumerate(rows) if row not in rows[:k]]


@pytest.mark.parametrize("dies_at", [3, 5, 11, 22])
def test_a_killed_run_continues_the_same_curve(tmp_path: Path, dies_at: int) -> None:
    logged: dict[str, list] = {"whole": [], "parts": []}
    whole = train(Regression(), Numbers(), SCHEDULE, CheckpointStore(tmp_path / "whole"), into(logged["whole"]))
    store = CheckpointStore(tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        train(Regression(dies_at), Numbers(), SCHEDULE, store, into(logged["parts"]))
    torch.manual_seed(99)
    parts = train(Regression(), Numbers(), SCHEDULE, store, into(logged["parts"]))
    assert parts.resumed_from_step == dies_at - dies_at % 5
    assert parts.curve == whole.curve
    assert (parts.kept_step, parts.validation) == (whole.kept_step, whole.validation)
    assert without_repeats(logged["parts"]) == logged["whole"]
    assert len(logged["parts"]) <= len(logged["whole"]) + 3  # at most the rows of one checkpoint are repeated


def test_the_loop_reports_its_steps_to_the_flow_also_where_it_resumes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    store = CheckpointStore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(Regression(17), Numbers(), SCHEDULE, store, into([]))
    caplog.clear()
    report = train(Regression(), Numbers(), SCHEDULE, store, into([]))
    events = [record.progress for record in caplog.records if hasattr(record, "progress")]
    assert all(event.what == "train" and event.total == 23 for event in events)
    assert [event.done for event in events] == [15, 16, 20, 23]
    assert [event.num_before for event in events] == [15, 0, 0, 0]
    assert [event.figure for event in events][::3] == ["", f"loss {report.curve[-1]['loss']:.4g}"]


@pytest.mark.parametrize(
    ("row", "figure"),
    [({"step": 1.0, "l1": 0.03125, "loss": 2.0}, "l1 0.03125"), ({"loss": 0.5}, "loss 0.5"), ({}, "")],
)
def test_l1_is_the_figure_of_a_generator(row: dict[str, float], figure: str) -> None:
    assert _key_figure(row) == figure


@pytest.mark.parametrize("num_before", [0, 1, 4])
def test_rows_are_logged_after_a_checkpoint_holds_them_and_none_is_lost(tmp_path: Path, num_before: int) -> None:
    logged: list = []
    num_calls = 0

    def dies(rows: Iterable[Any]) -> bool:
        nonlocal num_calls
        state = store.load()
        assert state is not None
        new = list(rows)
        assert max(step for step, _ in new) <= state["step"]
        if num_calls == num_before:
            raise KeyboardInterrupt
        num_calls += 1
        logged.extend(new)
        return True

    store = CheckpointStore(tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        train(Regression(), Numbers(), SCHEDULE, store, dies)
    train(Regression(), Numbers(), SCHEDULE, store, into(logged))
    whole: list = []
    train(Regression(), Numbers(), SCHEDULE, CheckpointStore(tmp_path / "whole"), into(whole))
    assert without_repeats(logged) == whole


def test_undelivered_rows_are_logged_again_after_a_resume(tmp_path: Path) -> None:
    arrived: list = []
    answers = iter([True, False, False])  # only the first rows are delivered

    def goes_away(rows: Iterable[Any]) -> bool:
        new, answer = list(rows), next(answers, None)
        if answer is None:
            raise KeyboardInterrupt
        if answer:
            arrived.extend(new)
        return answer

    store = CheckpointStore(tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        train(Regression(), Numbers(), SCHEDULE, store, goes_away)
    assert arrived
    train(Regression(), Numbers(), SCHEDULE, store, into(arrived))
    whole: list = []
    train(Regression(), Numbers(), SCHEDULE, CheckpointStore(tmp_path / "whole"), into(whole))
    assert arrived == whole


def test_undelivered_rows_are_logged_again_with_the_next_ones(tmp_path: Path) -> None:
    arrived: list = []
    answers = iter([True, False])

    def fails_once(rows: Iterable[Any]) -> bool:
        new, answer = list(rows), next(answers, True)
        arrived.extend(new if answer else [])
        return answer

    train(Regression(), Numbers(), SCHEDULE, CheckpointStore(tmp_path / "fails"), fails_once)
    whole: list = []
    train(Regression(), Numbers(), SCHEDULE, CheckpointStore(tmp_path / "whole"), into(whole))
    assert arrived == whole


def test_the_curve_has_one_row_per_step_with_training_and_validation(tmp_path: Path) -> None:
    report = train(Regression(), Numbers(), SCHEDULE, CheckpointStore(tmp_path), lambda rows: True)
    assert [row["step"] for row in report.curve] == [1, 4, 7, 8, 12, 14, 16, 20, 21, 23]
    assert set(report.curve[-1]) == {"step", "loss", "norm", "val_loss"}


@pytest.mark.parametrize("dies_at", [None, 6])
def test_the_mean_of_a_term_that_starts_later_is_over_its_own_steps(tmp_path: Path, dies_at: int | None) -> None:
    class Late(Regression):
        def step(self, batch: Batch, step: int) -> dict[str, torch.Tensor | float]:
            late = {"adversarial": float(step)} if step >= 5 else {}
            return super().step(batch, step) | late

    schedule, store = replace(SCHEDULE, num_steps=8, checkpoint_every=1), CheckpointStore(tmp_path)
    if dies_at is not None:
        with pytest.raises(KeyboardInterrupt):
            train(Late(dies_at), Numbers(), schedule, store, lambda rows: True)
    curve = train(Late(), Numbers(), schedule, store, lambda rows: True).curve
    assert {row["step"]: row["adversarial"] for row in curve if "adversarial" in row} == {8: (5 + 6 + 7) / 3}


class Scripted(Regression):
    """A regression with given validation losses."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        self.losses = iter(losses)

    def validate(self) -> dict[str, float]:
        return {"loss": next(self.losses)}


EVERY_STEP = Schedule(num_steps=6, validate_every=1, checkpoint_every=1, log_every=1)
LOSSES = [5.0, 2.0, 3.0, 2.0, 4.0, 3.0]


@pytest.mark.parametrize(
    ("keep", "patience", "kept_step", "last_step"),
    [("best", 0, 2, 6), ("last", 0, 6, 6), ("best", 2, 2, 4), ("last", 2, 4, 4), ("best", 5, 2, 6)],
)
def test_the_best_or_the_last_weights_are_kept(
    tmp_path: Path, keep: str, patience: int, kept_step: int, last_step: int
) -> None:
    schedule = replace(EVERY_STEP, keep=keep, patience=patience)
    trainee = Scripted(LOSSES)
    report = train(trainee, Numbers(), schedule, CheckpointStore(tmp_path), lambda rows: True)
    assert (report.kept_step, report.curve[-1]["step"]) == (kept_step, last_step)
    assert report.validation == {"loss": LOSSES[kept_step - 1]}

    reached = Regression()
    only = replace(EVERY_STEP, num_steps=kept_step)
    train(reached, Numbers(), only, CheckpointStore(tmp_path / "only"), lambda rows: True)
    assert all(torch.equal(tensor, reached.weights()[name]) for name, tensor in trainee.weights().items())


def test_weights_before_keep_from_are_not_kept(tmp_path: Path) -> None:
    for keep_from, kept_step in ((3, 4), (5, 6), (99, 6)):  # the lowest of LOSSES is at step 2
        schedule = replace(EVERY_STEP, keep_from=keep_from)
        store = CheckpointStore(tmp_path / str(keep_from))
        assert train(Scripted(LOSSES), Numbers(), schedule, store, lambda rows: True).kept_step == kept_step


def test_weights_of_sync_networks_are_selected_by_accuracy(tmp_path: Path) -> None:
    class Accurate(Scripted):
        def validate(self) -> dict[str, float]:
            loss = next(self.losses)
            return {"loss": loss, "pairwise_accuracy": loss / 10}

    report = train(Accurate(LOSSES), Numbers(), EVERY_STEP, CheckpointStore(tmp_path), lambda rows: True)
    assert (report.kept_step, report.validation["pairwise_accuracy"]) == (1, 0.5)


def test_a_run_that_stopped_early_is_not_resumed(tmp_path: Path) -> None:
    schedule, store = replace(EVERY_STEP, patience=2), CheckpointStore(tmp_path)
    first = train(Scripted(LOSSES), Numbers(), schedule, store, lambda rows: True)

    class Unread(Numbers):
        def __iter__(self) -> Iterator[tuple[Batch, dict[str, Any]]]:
            raise AssertionError("the training is over")

    again = train(Scripted([]), Unread(), schedule, store, lambda rows: True)
    assert (again.curve, again.kept_step, again.data_wait_share) == (first.curve, 2, 0.0)


@pytest.mark.parametrize("keep_from", [0, 99])
def test_a_validation_loss_that_is_not_finite_is_an_error(tmp_path: Path, keep_from: int) -> None:
    schedule = replace(EVERY_STEP, keep_from=keep_from)
    with pytest.raises(NonFiniteLossError, match="step 2: the validation loss is nan"):
        train(Scripted([1.0, math.nan]), Numbers(), schedule, CheckpointStore(tmp_path), lambda rows: True)


def test_a_gradient_that_is_not_finite_is_an_error_with_the_step(tmp_path: Path) -> None:
    class Diverging(Scripted):
        def step(self, batch: Batch, step: int) -> dict[str, torch.Tensor | float]:
            if step == 3:
                raise FloatingPointError("the gradient's norm is nan")
            return super().step(batch, step)

    with pytest.raises(NonFiniteLossError, match=r"step 4: the gradient's norm is nan; in params\.yaml, lower this"):
        train(Diverging(LOSSES), Numbers(), EVERY_STEP, CheckpointStore(tmp_path), lambda rows: True)
