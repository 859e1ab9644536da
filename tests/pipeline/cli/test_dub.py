"""The command `dub`: what it refuses, what it prints, and its exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.io import wavfile

from pipeline.cli.dub_texts import faces_text, summary_line
from pipeline.cli.main import main
from pipeline.dubbing import DubbedFace, ListedFace
from pipeline.media.writer import VideoWriter
from tests.support.drawn_face import RATE_HZ, draw_face, tone
from tests.support.dub_runs import summary_of
from tests.support.tiny_generator import make_checkout


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


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a small generator, a clip of a face that is missing in its last frames, and a sound."""
    root = make_checkout(tmp_path_factory.mktemp("checkout")).root
    with VideoWriter(root / "clip.mp4", 25, (160, 160), preset="ultrafast") as writer:
        for index in range(20):
            writer.write(draw_face(80, 76) if index < 12 else np.full((160, 160, 3), 120, np.uint8))
    for name, seconds in (("short.wav", 0.4), ("long.wav", 0.8)):
        wavfile.write(root / name, RATE_HZ, tone(seconds))
    return root


@pytest.fixture
def dub(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    monkeypatch.chdir(checkout)
    before = torch.get_num_threads()

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["dub", "--face", "clip.mp4", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    yield run
    torch.set_num_threads(before)


Run = Callable[..., tuple[int, str, str]]


def test_the_faces_are_listed_with_their_pictures(dub: Run, checkout: Path) -> None:
    code, out, _ = dub("--list-faces", "faces.png")
    assert code == 0
    assert out.splitlines()[0].split() == ["face", "from", "to", "seen", "size", "at", "talks"]
    assert out.splitlines()[1].split()[:5] == ["1", "0.00", "s", "0.48", "s"]
    picture = cv2.imread("faces.png")
    assert picture.shape == (20 + 200 + 74 + 20, 20 + 200 + 20, 3)
    assert np.ptp(picture[20:220, 20:220].mean(axis=2)) > 100
    code, out, _ = dub("--list-faces", "faces.png", "--json")
    (face,) = json.loads(out)
    assert (face["number"], face["start_s"], face["is_talking"]) == (1, 0.0, None)


@pytest.mark.parametrize(("talks", "is_said"), [((False, False), True), ((True, False), False), ((None, None), False)])
def test_a_list_says_if_none_of_several_faces_clearly_talks(talks: tuple[bool | None, ...], is_said: bool) -> None:
    faces = [
        ListedFace(number=k, start_s=0, end_s=1, share_seen=1, box_px=(0, 0, 9, 9), is_talking=is_talking)
        for k, is_talking in enumerate(talks, 1)
    ]
    text = "no face clearly talks, so --who talking would stop\n"
    assert (text in faces_text(faces, Path("clip.mp4"), Path("faces.png"))) == is_said
    assert text not in faces_text(faces[:1], Path("clip.mp4"), Path("faces.png"))


def test_a_list_of_no_face_exits_with_3(dub: Run) -> None:
    with VideoWriter(Path("empty.mp4"), 25, (160, 160), preset="ultrafast") as writer:
        for _ in range(3):
            writer.write(np.full((160, 160, 3), 120, np.uint8))
    code, out, _ = dub("--face", "empty.mp4", "--list-faces", "none.png")
    assert (code, out) == (3, "empty.mp4: no face\n")
    code, out, _ = dub("--face", "empty.mp4", "--list-faces", "none.png", "--json")
    assert (code, json.loads(out)) == (3, [])
    assert not Path("none.png").exists()


def test_the_summary_as_text_and_as_json(dub: Run) -> None:
    code, out, _ = dub("--audio", "short.wav", "--out", "out.mp4", "--who", "1")
    assert code == 0
    assert "10 frames dubbed, 0 frames without a face left unchanged" in out
    assert re.search(
        r"^dubbed: face 1, \d+x\d+ px at \d+,\d+, in 10 frames from 0\.00 s to 0\.40 s$", out, re.MULTILINE
    )
    code, out, _ = dub("--audio", "short.wav", "--out", "out.mp4", "--json")
    summary = json.loads(out)
    assert (summary["path"], summary["num_frames"], summary["duration_s"]) == ("out.mp4", 10, 0.4)
    assert summary["who"] == "largest" and summary["faces"][0]["number"] is None


def test_the_rate_of_a_varying_video_is_a_mean_and_hints_follow_missing_frames() -> None:
    face = DubbedFace(number=1, num_frames=40, start_s=0.0, end_s=1.6, box_px=(48, 30, 112, 120))
    steady = summary_of(Path("out.mp4"), 40, face)
    assert "160x160 at 25 fps, 1.60 s" in summary_line(steady) and "params.yaml" not in summary_line(steady)
    varying = replace(steady, fps=23.7032, has_varying_fps=True, num_missing=3)
    assert "160x160 at 23.7 fps on average, " in summary_line(varying)
    assert summary_line(varying).endswith("or, for a small face, raise preprocess.detector_max_px.")


def test_a_part_of_the_video_is_dubbed(dub: Run) -> None:
    code, out, _ = dub("--audio", "short.wav", "--start", "0:00.08", "--out", "out.mp4", "--json")
    summary = json.loads(out)
    assert (code, summary["num_frames"], summary["num_dubbed"]) == (0, 20, 10)
    Path("lines.csv").write_text("start,end,audio\n0,0.2,short.wav\n")
    code, out, _ = dub("--segments", "lines.csv", "--out", "out.mp4", "--json")
    assert (code, json.loads(out)["num_dubbed"]) == (0, 5)


def test_too_few_frames_with_the_face_exit_with_3(dub: Run) -> None:
    code, _, error = dub("--audio", "long.wav", "--out", "few.mp4", "--min-dubbed", "0.7")
    assert code == 3
    assert "no face to dub in 8 of 20 frames of the output, first at 0.48 s, but at least 70% must show it" in error
    assert "(--min-dubbed)" in error
    assert not Path("few.mp4").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--audio", "short.wav"], "no output is given; add --out"),
        (["--out", "out.mp4"], "no speech is given; give --audio, or --segments"),
        (["--list-faces", "faces.jpg"], "the file name must end in .png"),
        (["--audio", "short.wav", "--out", "out.mp4", "--who", "7"], "who is 7, but the video has only face 1; dub --"),
        (["--audio", "short.wav", "--out", "out.mp4", "--start", "soon"], "the time 'soon' is not understood"),
        (["--audio", "https://a.b/c.wav", "--out", "out.mp4"], "--audio https://a.b/c.wav is a URL; download it"),
        (["--audio", "a.wav", "--segments", "none.csv", "--out", "out.mp4"], "--segments none.csv: no such file"),
    ],
)
def test_arguments_that_cannot_be_used(dub: Run, arguments: list[str], message: str) -> None:
    code, _, error = dub(*arguments)
    assert code == 2
    assert message in error


def test_the_help_has_examples_formats_and_what_happens_with_several_faces(dub: Run) -> None:
    code, out, _ = dub("--help")
    assert code == 0
    for part in ("--list-faces faces.png", "Formats: --face is any video", "Several faces:", "Several audio tracks:"):
        assert part in out
