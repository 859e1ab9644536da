"""The fitness of the evaluator by the rows `real` and `copy_input` of the checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.core import atomic
from pipeline.core.layout import Layout
from pipeline.evaluation.bounds import with_fitness_of_bounds
from tests.support.comparison_rows import row

PROTOCOL = {"evaluator": "trained", "sha256": "p"}
METRICS = {"protocol": PROTOCOL, "fitness": {"is_fit": True, "text": "It can.", "num_real_videos": 44}, "lse_d": 6.5}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def write(layout: Layout, name: str, lse_d: float, lse_c: float, **more: Any) -> None:
    atomic.write_json(layout.metrics_path("evaluate", name), row(name, lse_d, lse_c, protocol=PROTOCOL) | more)


def test_a_copied_input_that_scores_better_makes_the_evaluator_unfit(layout: Layout) -> None:
    write(layout, "real", 7.0, 6.0)
    write(layout, "copy_input", 6.0, 5.0)
    found = with_fitness_of_bounds(layout, METRICS)
    assert found["fitness"]["is_fit"] is False and "real videos have a worse LSE-D (7.000)" in found["fitness"]["text"]
    assert found["fitness"]["num_real_videos"] == 44 and found["lse_d"] == 6.5
    write(layout, "copy_input", 9.0, 1.0)
    assert with_fitness_of_bounds(layout, METRICS)["fitness"]["is_fit"] is True


def test_rows_that_are_missing_or_of_another_protocol_change_nothing(layout: Layout) -> None:
    write(layout, "real", 7.0, 6.0)
    assert with_fitness_of_bounds(layout, METRICS) == METRICS
    write(layout, "copy_input", 6.0, 5.0, protocol={"evaluator": "trained", "sha256": "other"})
    assert with_fitness_of_bounds(layout, METRICS) == METRICS
    assert with_fitness_of_bounds(layout, {"lse_d": 6.5}) == {"lse_d": 6.5}
