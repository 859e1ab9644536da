"""What the board knows of a run."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from flows.board import Board, LoggedWarning, Row, current_board, using
from flows.dvc import StageGraph
from pipeline.core.stage_events import EventWriter, StageProgress
from tests.support.clock import Clock

GRAPH = StageGraph({"prepare": (), "train@a": ("prepare",), "train@b": ("prepare",), "compare": ("train@a", "train@b")})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(clock: Clock) -> Board:
    return Board(clock)


def rows_of(board: Board) -> dict[str, Row]:
    return {row.stage: row for row in board.view().rows}


def report(path: Path, done: int, what: str = "train", total: int | None = 100) -> None:
    EventWriter(path).progress(StageProgress(what, done, total, f"loss {done}"))


def test_a_stage_waits_runs_and_ends(board: Board, clock: Clock, tmp_path: Path) -> None:
    board.expect(GRAPH, GRAPH.upstream.keys(), 2, {})
    assert {row.state for row in rows_of(board).values()} == {"waiting"}
    clock.now = 10.0
    assert board.start("prepare", tmp_path / "events") == 1
    report(tmp_path / "events", 40)
    clock.now = 15.0
    row = rows_of(board)["prepare"]
    assert (row.state, row.progress, row.elapsed_s) == ("running", StageProgress("train", 40, 100, "loss 40"), 5.0)
    assert (board.running(), board.started()) == (["prepare"], ["prepare"])
    board.stop("prepare")
    clock.now = 20.0
    assert board.finish("prepare", "ran", "120 clips") == 5.0
    assert rows_of(board)["prepare"] == Row("prepare", "ran", None, "120 clips", 5.0)
    assert board.finish("train@a", "up_to_date") is None
    assert rows_of(board)["train@a"].elapsed_s is None


def test_a_resumed_stage_has_no_duration_for_later_estimates(board: Board, clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "events"
    board.start("train@a", path)
    EventWriter(path).progress(StageProgress("train", 60, 100, num_before=60))
    report(path, 61)
    clock.now = 5.0
    board.stop("train@a")
    assert board.finish("train@a", "ran") is None
    assert rows_of(board)["train@a"].elapsed_s == 5.0
    board.start("train@a", tmp_path / "from the beginning")
    board.stop("train@a")
    assert board.finish("train@a", "ran") == 0.0


def test_the_pace_is_of_this_start_and_of_one_piece_of_work(board: Board, clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "events"
    board.start("train@a", path)

    def left_after(seconds: float, done: int, what: str = "train") -> float | None:
        clock.now += seconds
        report(path, done, what)
        return rows_of(board)["train@a"].left_s

    assert left_after(30.0, 60) is None  # resumed at 60: nothing is known of the pace
    assert left_after(10.0, 70) == 30.0
    assert left_after(10.0, 90) == pytest.approx(20 / 30 * 10)
    clock.now += 4.0
    assert rows_of(board)["train@a"].left_s == pytest.approx(20 / 30 * 10 - 4)
    clock.now += 40.0
    assert rows_of(board)["train@a"].left_s == 0.0  # late
    assert left_after(1.0, 5, "test") is None
    assert left_after(1.0, 15, "test") == 8.5


def test_without_a_pace_the_last_run_tells_what_is_left(board: Board, clock: Clock, tmp_path: Path) -> None:
    board.expect(GRAPH, ["prepare"], 1, {"prepare": 20.0})
    board.start("prepare", tmp_path / "events")
    clock.now = 15.0
    report(tmp_path / "events", 7, total=None)
    assert rows_of(board)["prepare"].left_s == 5.0
    assert (board.view().left_s, board.view().unknown) == (5.0, ())
    clock.now = 25.0  # it takes longer than the last time, so nothing is known
    assert rows_of(board)["prepare"].left_s is None
    assert (board.view().left_s, board.view().unknown) == (0.0, ("prepare",))


def test_the_whole_run_is_unknown_until_every_kind_of_stage_has_run(board: Board, clock: Clock, tmp_path: Path) -> None:
    board.expect(GRAPH, ["train@a", "train@b", "compare"], 1, {"compare": 2.0})
    view = board.view()
    assert (view.left_s, view.unknown) == (2.0, ("train@a", "train@b"))
    board.finish("prepare", "up_to_date")
    board.start("train@a", tmp_path / "events")
    clock.now = 10.0
    board.stop("train@a")
    board.finish("train@a", "ran")
    view = board.view()
    assert (view.left_s, view.unknown) == (12.0, ())
    board.finish("train@b", "failed", "no face")
    board.finish("compare", "skipped", "train@b failed")
    assert board.view().left_s == 0.0


def test_a_stage_takes_as_long_as_one_of_its_kind_that_runs(board: Board, clock: Clock, tmp_path: Path) -> None:
    board.expect(GRAPH, ["train@a", "train@b"], 1, {})
    board.start("train@a", tmp_path / "events")
    report(tmp_path / "events", 0)
    board.view()
    clock.now = 10.0
    report(tmp_path / "events", 50)
    view = board.view()
    assert (view.left_s, view.unknown) == (30.0, ())  # 10 s of the first and 20 s of the second


def test_a_stage_that_is_up_to_date_takes_no_time(board: Board) -> None:
    board.expect(GRAPH, [], 1, {})
    assert (board.view().left_s, board.view().unknown) == (0.0, ())


def test_warnings_are_kept_once_also_those_written_before_the_end(board: Board, tmp_path: Path) -> None:
    for stage in ("train@a", "train@b"):
        board.start(stage, tmp_path / stage)
        EventWriter(tmp_path / stage).warning("accuracy is low")
        EventWriter(tmp_path / stage).warning(f"{stage} is slow")
        board.stop(stage)  # nobody has looked at the board yet
    assert board.view().warnings == (
        LoggedWarning("train@a", "accuracy is low"),
        LoggedWarning("train@a", "train@a is slow"),
        LoggedWarning("train@b", "train@b is slow"),
    )


def test_another_start_begins_again_and_the_reason_of_the_wait_is_shown(board: Board, tmp_path: Path) -> None:
    path = tmp_path / "events"
    board.start("train@a", path)
    report(path, 40)
    board.stop("train@a")
    board.note_waiting("train@a", "DVC is busy\nlong tail")
    assert rows_of(board)["train@a"].result == "DVC is busy"
    path.unlink()
    assert board.start("train@a", path) == 2
    assert rows_of(board)["train@a"].progress is None
    assert rows_of(board)["train@a"].result == ""


def test_a_row_without_a_start_is_not_added(board: Board, tmp_path: Path) -> None:
    board.finish_started("gate", "ran")
    assert board.view().rows == ()
    board.start("gate", tmp_path / "events")
    board.finish_started("gate", "ran", "promoted")
    assert rows_of(board)["gate"].result == "promoted"


def test_flows_write_to_the_board_of_their_context(board: Board) -> None:
    with using(board):
        assert current_board() is board
    found: list[Board] = []
    thread = threading.Thread(target=lambda: found.extend([current_board(), current_board()]))
    thread.start()
    thread.join()
    assert found[0] is found[1]
    assert found[0] is not board
