"""What `dub` refuses before it loads a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cli.main import main


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.avi", "the file name must end in .mp4"),
        ("folder.mp4", "is a folder"),
        ("face.mp4", "is the same file as --face"),
        ("face.mp4/out.mp4", "cannot be written"),
        ("n" * 250 + ".mp4", "File name too long"),
    ],
)
def test_an_output_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "face.mp4").touch()
    inputs = ["--face", str(tmp_path / "face.mp4"), "--audio", str(tmp_path / "a.wav")]
    assert main(["dub", *inputs, "--out", str(tmp_path / name), "--model", str(tmp_path / "no model")]) == 2
    error = capsys.readouterr().err
    assert message in error and "no trained generator" not in error
