"""The files of `score --out` replace nothing but earlier results."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.evaluation.clip_rows import CLIP_CSV_COLUMNS
from pipeline.evaluation.videos.result_files import require_json, require_result_files


def test_a_csv_that_is_no_earlier_result_is_kept(tmp_path: Path) -> None:
    table, out = tmp_path / "clips.csv", tmp_path / "clips.json"
    table.write_text("clip_id,speaker\n")
    with pytest.raises(UserError, match=r"clips\.json also writes .*clips\.csv, which exists"):
        require_result_files(out, None)
    table.write_text(",".join(CLIP_CSV_COLUMNS) + "\n")
    require_result_files(out, None)


def test_a_csv_that_cannot_be_written_is_refused_before_the_scoring(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").mkdir()
    with pytest.raises(UserError, match=r"the CSV file of --out .*clips\.json: .*clips\.csv is a folder"):
        require_result_files(tmp_path / "clips.json", None)


def test_the_result_to_compare_with_stays(tmp_path: Path) -> None:
    (tmp_path / "theirs.json").touch()
    with pytest.raises(UserError, match="is the same file as --against"):
        require_result_files(tmp_path / "theirs.json", tmp_path / "theirs.json")
    require_result_files(tmp_path / "ours.json", tmp_path / "theirs.json")


def test_a_result_is_a_json_file(tmp_path: Path) -> None:
    for name in ("result.txt", "result", "."):
        with pytest.raises(UserError, match=r"must be a file whose name ends in \.json"):
            require_json(tmp_path / name)
