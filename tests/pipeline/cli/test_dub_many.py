"""What `dub-many` prints of failed jobs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.cli.main import main
from tests.support.tiny_generator import make_checkout


def test_the_reason_of_a_failed_job_has_short_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_checkout(tmp_path / "checkout").root
    monkeypatch.chdir(root)
    failed = SimpleNamespace(ok=False, line=2, reason=f"face {root}/text.mp4: is no video")
    done = SimpleNamespace(rows=[failed, SimpleNamespace(ok=True)], num_reused=0, path=Path("jobs.results.jsonl"))
    monkeypatch.setattr("pipeline.dubbing.many.run.dub_jobs", lambda *arguments, **options: done)
    assert main(["dub-many", "jobs.csv"]) == 3
    assert capsys.readouterr().out.splitlines() == [
        "line 2: face text.mp4: is no video",
        "1 of 2 jobs are ok; rows: jobs.results.jsonl",
    ]
