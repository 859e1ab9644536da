"""Durations of earlier runs, and the schedule of what is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import estimate

UPSTREAM: dict[str, tuple[str, ...]] = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}


def test_durations_are_kept_for_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "scratch" / "durations.json"
    assert estimate.read_durations(path) == {}
    estimate.record_duration(path, "train_gan@a", 61.23)
    estimate.record_duration(path, "compare", 2.0)
    estimate.record_duration(path, "compare", 3.0)
    assert estimate.read_durations(path) == {"train_gan@a": 61.2, "compare": 3.0}


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": null}', '{"a": "long"}'])
def test_a_broken_file_holds_no_durations(tmp_path: Path, content: str) -> None:
    path = tmp_path / "durations.json"
    path.write_text(content)
    assert estimate.read_durations(path) == {}
    estimate.record_duration(path, "a", 1.0)
    assert estimate.read_durations(path) == {"a": 1.0}


def test_a_folder_that_cannot_be_written_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    estimate.record_duration(tmp_path / "file" / "durations.json", "a", 1.0)


def test_the_last_run_is_taken_before_stages_of_the_same_kind() -> None:
    now = {"train_gan@a": 10.0, "train_gan@b": 20.0, "evaluate@a": 3.0}
    assert estimate.expected_duration("train_gan@c", {"train_gan@c": 7.0}, now) == 7.0
    assert estimate.expected_duration("train_gan@c", {}, now) == 15.0
    assert estimate.expected_duration("evaluate_bound@real", {}, now) == 3.0
    assert estimate.expected_duration("compare", {}, now) is None


def test_the_rest_goes_at_the_pace_so_far() -> None:
    assert estimate.progress_left(10, 30, 5.0) == 15.0
    assert estimate.progress_left(0, 30, 5.0) is None
    assert estimate.progress_left(10, 30, 0.0) is None


@pytest.mark.parametrize(
    ("left_s", "running", "most_jobs", "expected"),
    [
        ({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}, [], 2, 8.0),  # b and c in parallel
        ({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}, [], 1, 10.0),
        ({"b": 2.0, "c": 3.0, "d": 4.0}, ["b"], 2, 7.0),  # a has finished
        ({"c": 0.5, "d": 4.0}, ["c"], 2, 4.5),
        ({}, [], 2, 0.0),
        ({"b": 0.0, "c": 0.0}, [], 1, 0.0),
    ],
)
def test_the_end_follows_the_schedule(
    left_s: dict[str, float], running: list[str], most_jobs: int, expected: float
) -> None:
    assert estimate.time_to_end(UPSTREAM, left_s, running, most_jobs) == expected


def test_a_row_outside_the_graph_is_part_of_the_schedule() -> None:
    assert estimate.time_to_end({}, {"gate": 5.0}, ["gate"], 1) == 5.0
