"""Lists of dubs: bad jobs, a killed run, what is done again, scores, and Ray."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from pipeline.cli.main import main
from pipeline.core.errors import UserError
from pipeline.core.locks import LockHeldError
from pipeline.dubbing import Dubber
from pipeline.dubbing.many import run as many_run
from pipeline.dubbing.many import worker, workers
from pipeline.dubbing.many.run import dub_jobs
from pipeline.faces.detector import YuNetDetector
from pipeline.inference.generator import MouthGenerator
from tests.support.media_readers import read_frames

ROOT = Path(__file__).resolve().parents[4]

BAD = [
    (("nowhere.mp4", "a.wav", "bad0.mp4"), "nowhere.mp4: no such file"),
    (("empty.mp4", "a.wav", "bad1.mp4"), "no face to dub in any of 5 frames"),
    (("broken.mp4", "a.wav", "bad2.mp4"), "broken.mp4: "),
    (("face.mp4", "nowhere.wav", "bad3.mp4"), "nowhere.wav: no such file"),
    (
        ("face.mp4", "face.mp4", "bad4.mp4"),
        "face.mp4: has no audio stream; allowed: a sound file, or a video with sound",
    ),
    (("face.mp4", "", "bad5.mp4"), "no speech is given"),
    (("face.mp4", "a.wav", "bad6.mp4", "", "longest"), "length is 'longest'; allowed: audio, video"),
    (("face.mp4", "a.wav", "bad7.mp4", "3"), "who is 3, but the video has only face 1; dub --list-faces"),
    (("face.mp4", "a.wav", "bad8.avi"), "the file name must end in .mp4"),
    (("face.mp4", "a.wav", "good0.mp4"), "is also the out of line 2"),
]
"""Bad jobs, and a part of their reasons."""


def mixed_jobs(num_good: int) -> list[tuple[str, ...]]:
    """Good jobs with the bad ones between them."""
    good = [("face.mp4" if k % 2 else "other.mp4", "a.wav", f"good{k}.mp4") for k in range(num_good)]
    step = num_good // len(BAD)
    jobs: list[tuple[str, ...]] = []
    for index, (bad, _) in enumerate(BAD):
        jobs += [*good[index * step : (index + 1) * step], bad]
    return jobs


def rows_of(jobs: Path) -> list[dict]:
    return [json.loads(line) for line in jobs.with_name(f"{jobs.stem}.results.jsonl").read_text().splitlines()]


@pytest.fixture
def run(checkout):
    def run(jobs: Path, **options):
        defaults = {"device": "cpu", "num_workers": 1, "is_scored": False}
        return dub_jobs(jobs, checkout, "lstm_cbam", **(defaults | options))

    return run


@pytest.fixture
def dubbed(monkeypatch) -> list[str]:
    """The names of the outputs of each call of a dubber in this process, in order."""
    names: list[str] = []
    call = Dubber.__call__

    def watched(self, face, audio, out, **options):
        names.append(Path(out).name)
        return call(self, face, audio, out, **options)

    monkeypatch.setattr(Dubber, "__call__", watched)
    return names


def require_expected_rows(rows: list[dict], folder: Path, num_good: int) -> None:
    jobs = mixed_jobs(num_good)
    assert [row["line"] for row in rows] == list(range(2, 2 + len(jobs)))
    reasons = dict(BAD)
    for row, job in zip(rows, jobs, strict=True):
        if job in reasons:
            assert not row["ok"] and reasons[job] in row["reason"], row
        else:
            assert row["ok"] and row["reason"] is None, row
            assert (row["num_frames"], row["num_missing"], len(row["faces"])) == (5, 0, 1)
            assert row["seconds"] > 0
            assert len(read_frames(folder / row["out"], None)) == 5
    outputs = {path.name for path in folder.iterdir() if path.suffix in (".mp4", ".avi")}
    assert outputs == {f"good{k}.mp4" for k in range(num_good)}  # no output of a bad job, and no temporary file


@pytest.mark.slow
def test_a_list_killed_in_the_middle_continues(checkout, write_list, tmp_path, monkeypatch, capsys, dubbed):
    """30 jobs with 10 bad ones. No job with a row is dubbed again, and every output is whole."""
    jobs = write_list(mixed_jobs(20))
    command = [sys.executable, "-m", "pipeline", "dub-many", str(jobs), "--workers", "1", "--no-score"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([*command, "--device", "cpu"], cwd=checkout.root, env=env, stderr=subprocess.PIPE)
    results = tmp_path / "jobs.results.jsonl"
    deadline = time.monotonic() + 400
    while not (results.is_file() and results.read_text().count('"ok": true') >= 8):
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    finished = {row["out"] for row in rows_of(jobs) if row["ok"]}
    assert 8 <= len(finished) < 20
    times = {name: (tmp_path / name).stat().st_mtime_ns for name in finished}
    with results.open("a") as file:
        file.write('{"line": 3, "ok": tr')  # as a kill during a write leaves it

    monkeypatch.chdir(checkout.root)
    assert main(["dub-many", str(jobs), "--workers", "1", "--no-score", "--device", "cpu"]) == 3
    assert not finished & set(dubbed)
    assert times == {name: (tmp_path / name).stat().st_mtime_ns for name in finished}
    require_expected_rows(rows_of(jobs), tmp_path, 20)
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == f"20 of 30 jobs are ok, {len(finished)} of them by an earlier run; rows: {results}"
    assert len(printed) == 11 and printed[0].startswith("line ")


def test_the_model_is_loaded_once_and_a_video_is_searched_once(run, checkout, write_list, monkeypatch):
    workers._workers.clear()
    loads, load, searched, detect = [], MouthGenerator.load, [], YuNetDetector.detect
    monkeypatch.setattr(MouthGenerator, "load", lambda *arguments: (loads.append(arguments), load(*arguments))[1])
    monkeypatch.setattr(YuNetDetector, "detect", lambda self, frame: (searched.append(1), detect(self, frame))[1])
    for path in (checkout.scratch_dir / "faces").glob("*"):
        path.unlink()
    jobs = write_list([("face.mp4", "a.wav", f"{k}.mp4") for k in range(4)])
    assert all(row.ok for row in run(jobs).rows)
    assert (len(loads), len(searched)) == (1, 5)
    contents = {(jobs.parent / f"{k}.mp4").read_bytes() for k in range(4)}
    assert len(contents) == 1
    assert [path.suffix for path in (checkout.scratch_dir / "faces").iterdir()] == [".npz"]


def test_what_has_changed_is_done_again(run, checkout, write_list, tmp_path, dubbed):
    sound = tmp_path / "own.wav"
    sound.write_bytes((checkout.root / "a.wav").read_bytes())
    lines = [("face.mp4", "a.wav", f"{k}.mp4") for k in range(3)] + [("other.mp4", str(sound), "own.mp4")]
    jobs = write_list(lines)
    assert run(jobs).num_reused == 0
    dubbed.clear()
    assert run(jobs).num_reused == 4 and not dubbed

    (tmp_path / "0.mp4").write_bytes(b"half")
    (tmp_path / "1.mp4").unlink()
    os.utime(sound, ns=(0, 0))
    assert run(jobs).num_reused == 1
    assert sorted(dubbed) == ["0.mp4", "1.mp4", "own.mp4"]

    dubbed.clear()
    jobs = write_list([lines[3], (*lines[2], "1"), lines[0], lines[1]])  # another order, and another option
    done = run(jobs)
    assert dubbed == ["2.mp4"] and [row.line for row in done.rows] == [2, 3, 4, 5]
    assert [row["out"] for row in rows_of(jobs)] == ["own.mp4", "2.mp4", "0.mp4", "1.mp4"]


def test_another_model_does_all_jobs_again(checkout, run, write_list, dubbed):
    jobs = write_list([("face.mp4", "a.wav", "0.mp4")])
    run(jobs)
    config = checkout.model_dir("train_gan", "lstm_cbam") / "model.json"
    before = config.read_text()
    try:
        config.write_text(before + " ")
        assert run(jobs).num_reused == 0
    finally:
        config.write_text(before)
    assert dubbed == ["0.mp4", "0.mp4"]


def test_failed_jobs_are_tried_again(run, checkout, write_list, tmp_path):
    jobs = write_list([("face.mp4", "a.wav", "0.mp4"), ("face.mp4", str(tmp_path / "late.wav"), "1.mp4")])
    assert [row.ok for row in run(jobs).rows] == [True, False]
    (tmp_path / "late.wav").write_bytes((checkout.root / "a.wav").read_bytes())
    done = run(jobs)
    assert [row.ok for row in done.rows] == [True, True] and done.num_reused == 1


def test_a_bug_in_one_job_does_not_stop_the_others(run, write_list, monkeypatch, caplog):
    call = Dubber.__call__

    def faulty(self, face, audio, out, **options):
        if Path(out).name == "1.mp4":
            raise ZeroDivisionError("by chance")
        return call(self, face, audio, out, **options)

    monkeypatch.setattr(Dubber, "__call__", faulty)
    rows = run(write_list([("face.mp4", "a.wav", f"{k}.mp4") for k in range(3)])).rows
    assert [row.ok for row in rows] == [True, False, True]
    assert rows[1].reason == "internal error: ZeroDivisionError: by chance"
    assert "in faulty" in caplog.text


@pytest.mark.parametrize(
    ("error", "no_score"),
    [
        (MemoryError(), "it needs more memory than is free"),
        (ZeroDivisionError("by chance"), "internal error: ZeroDivisionError: by chance"),
    ],
)
def test_an_error_of_the_score_leaves_the_dub_finished(run, write_list, monkeypatch, error, no_score):
    def fail(*_):
        raise error

    monkeypatch.setattr(worker, "score_dub", fail)
    jobs = write_list([("face.mp4", "a.wav", "0.mp4")])
    [row] = run(jobs, is_scored=True).rows
    assert (row.ok, row.reason, row.no_score) == (True, None, no_score)
    assert run(jobs, is_scored=True).num_reused == 1


def test_a_file_that_only_the_node_of_the_job_lacks_is_named(run, write_list, tmp_path, monkeypatch):
    """The file is there when the row is written, as on the machine that reads the list."""
    late = tmp_path / "late.mp4"

    def run_elsewhere(*arguments):
        for item, outcome in workers.run_jobs(*arguments):
            late.touch()
            yield item, outcome

    monkeypatch.setattr(many_run, "run_jobs", run_elsewhere)
    monkeypatch.setattr(many_run, "is_cluster", lambda: True)
    [row] = run(write_list([(str(late), "a.wav", "0.mp4")])).rows
    assert not row.ok and row.reason.startswith(
        f"{late} exists on this machine, but not on the Ray node; put it on a disk"
    )


def test_the_score_of_a_dub_and_the_reasons_for_none(run, write_list):
    jobs = write_list(
        [("face.mp4", "long.wav", "0.mp4"), ("face.mp4", "a.wav", "1.mp4"), ("face.mp4", "silent.wav", "2.mp4")]
    )
    assert run(jobs, is_scored=False).rows[0].no_score is None
    scored, short, silent = run(jobs, is_scored=True).rows
    assert scored.judge == "judge-1" and scored.no_score is None
    assert scored.lse_d > 0 and scored.lse_c >= 0 and abs(scored.offset_frames or 0) < 15
    assert (short.judge, short.lse_c) == (None, None)
    assert short.no_score == "the dubbed face is shown for 0.20 s without a break; a score needs at least 1.44 s"
    assert silent.no_score == "the sound is silent where the face is dubbed"
    assert run(jobs, is_scored=True).num_reused == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv"], "none.csv: no such file; give a CSV file"),
        (["jobs.csv", "--variant", "best"], "no variant 'best' in params.yaml"),
        (["jobs.csv", "--model", "x", "--registered", "champion"], "both name a model"),
    ],
)
def test_a_run_that_cannot_start(checkout, write_list, tmp_path, monkeypatch, capsys, arguments, message):
    jobs = write_list([("face.mp4", "a.wav", "0.mp4")])
    monkeypatch.chdir(checkout.root)
    assert main(["dub-many", str(jobs.parent / arguments[0]), *arguments[1:]]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "0.mp4").exists()


def test_a_model_that_is_none_ends_the_run(checkout, write_list, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.json").write_text("{}")
    jobs = write_list([("face.mp4", "a.wav", "0.mp4")])
    with pytest.raises(UserError):
        dub_jobs(jobs, checkout, folder, device="cpu", num_workers=1, is_scored=False)


def test_an_onnx_file_is_refused(checkout, write_list, tmp_path):
    model = tmp_path / "model.onnx"
    model.touch()
    jobs = write_list([("face.mp4", "a.wav", "0.mp4")])
    with pytest.raises(UserError, match=r"model\.onnx is an ONNX file; dub-many needs the folder of a saved generator"):
        dub_jobs(jobs, checkout, model, device="cpu", num_workers=1, is_scored=False)


def test_two_runs_of_one_list(run, write_list, dubbed):
    jobs = write_list([("face.mp4", "a.wav", "0.mp4")])
    with FileLock(jobs.with_name(".jobs.lock")), pytest.raises(LockHeldError, match=r"\.jobs\.lock is held"):
        run(jobs)
    assert not dubbed


@pytest.mark.slow
def test_ray_runs_jobs_and_a_crash_fails_one_job_only(run, checkout, write_list, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "MAX_CRASHES", 1)
    crash = tmp_path / "crash.mp4"
    crash.write_bytes((checkout.root / "face.mp4").read_bytes())
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "sitecustomize.py").write_text(CRASHES)
    jobs = write_list([*mixed_jobs(10), (str(crash), "a.wav", "crash out.mp4")])
    *rows, crashed = run(jobs, num_workers=2).rows
    crash.unlink()
    assert not crashed.ok and crashed.reason.startswith("its worker process ended 1 times (WorkerCrashedError")
    require_expected_rows([vars(row) for row in rows], tmp_path, 10)


CRASHES = """
import os, sys

def watch(event, arguments):
    if event == "open" and str(arguments[0]).endswith("/crash.mp4") and "default_worker" in " ".join(sys.orig_argv):
        os._exit(1)

sys.addaudithook(watch)
"""
"""Ends a worker process of Ray that opens the file, as a fault of a decoder does."""
