"""What `dub` refuses before it loads a model, and the settings that it reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from threadpoolctl import threadpool_info

from pipeline.cli.dub import dub_video
from pipeline.cli.main import main
from pipeline.core.layout import Layout

ROOT = Path(__file__).resolve().parents[3]


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


@pytest.mark.parametrize("num_threads", [1, 2])
def test_the_number_of_threads_is_that_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_threads: int
) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["runtime"]["num_threads"] = num_threads
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    seen = []

    def watch(*arguments: object) -> None:
        blas = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
        seen.append((torch.get_num_threads(), blas))

    monkeypatch.setattr("pipeline.inference.generator.MouthGenerator.load", lambda *arguments: None)
    monkeypatch.setattr("pipeline.dubbing.dub._dub", watch)
    video = tmp_path / "face.mp4"
    video.touch()
    before = torch.get_num_threads()
    try:
        dub_video(Layout(tmp_path), video, video, tmp_path / "out.mp4", tmp_path, "cpu")
    finally:
        torch.set_num_threads(before)
    assert seen == [(num_threads, {1})]
