from __future__ import annotations

import hashlib
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.corpora.demo import render
from pipeline.corpora.demo.render import DemoClip, DemoSpec, render_corpus
from pipeline.corpora.lrs2 import list_lrs2_clips
from pipeline.faces.detector import YuNetDetector
from tests.support.media_readers import display_of, header_of, read_frames, read_samples, sound_format_of

pytestmark = pytest.mark.slow

SPEC = DemoSpec(
    num_speakers=3,
    num_clips_per_speaker=1,
    clip_seconds=0.8,
    split_by="speaker",
    val_fraction=0.3,
    test_fraction=0.3,
    seed=7,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[DemoClip]]:
    root = tmp_path_factory.mktemp("demo")
    return root, render_corpus(SPEC, root, num_workers=1)


def digests(root: Path) -> dict[str, str]:
    files = [p for p in sorted(root.rglob("*")) if p.is_file()]
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_layout_is_that_of_lrs2(corpus: tuple[Path, list[DemoClip]]) -> None:
    root, clips = corpus
    assert sorted(clip.split for clip in clips) == ["test", "train", "val"]
    for clip in clips:
        folder, number = clip.clip_id.split("/")
        assert len(folder) == 19 and folder.isdigit() and number == "00001"
        assert clip.path == root / "mvlrs_v1" / "main" / folder / "00001.mp4"
        assert (root / f"{clip.split}.txt").read_text() == f"{clip.clip_id}\n"
        text, conf = clip.path.with_suffix(".txt").read_text().splitlines()
        assert text == f"Text:  {clip.transcript}" and conf.startswith("Conf:  ")
        assert clip.transcript and clip.transcript == clip.transcript.upper()
    listed = {record.clip_id: record for record in list_lrs2_clips(root)}
    for clip in clips:
        record = listed[clip.clip_id]
        assert (record.speaker, record.split, record.transcript) == (clip.speaker, clip.split, clip.transcript)


def test_video_and_audio_have_the_specified_length(corpus: tuple[Path, list[DemoClip]]) -> None:
    for clip in corpus[1]:
        header, display = header_of(clip.path), display_of(clip.path)
        assert (display.width, display.height) == (160, 160)
        assert (header.fps, sound_format_of(clip.path)) == (25, (16_000, 1))
        assert len(read_frames(clip.path)) == 20
        samples = read_samples(clip.path)
        assert 12800 <= len(samples) < 12800 + 1024  # AAC pads its last block
        assert 0.04 < float(np.sqrt(np.mean(samples**2))) < 0.15


def test_the_detector_finds_one_steady_face_in_every_frame(corpus: tuple[Path, list[DemoClip]]) -> None:
    detector = YuNetDetector(min_score=0.7)
    for clip in corpus[1]:
        faces = [detector.detect(frame) for frame in read_frames(clip.path)]
        assert {len(found) for found in faces} == {1}
        boxes = np.array([found[0].box for found in faces])
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        width = float(np.mean(boxes[:, 2] - boxes[:, 0]))
        assert np.abs(np.diff(centres, axis=0)).max() < 0.06 * width


def test_bytes_do_not_depend_on_the_number_of_workers(
    corpus: tuple[Path, list[DemoClip]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("pipeline.report.progress.LOG_EVERY_S", 0.0)
    render_corpus(SPEC, tmp_path, num_workers=2)
    assert digests(tmp_path) == digests(corpus[0])
    assert caplog.messages[-1].startswith("render: 3 of 3 clips, ")


def test_a_second_call_renders_only_what_is_missing(corpus: tuple[Path, list[DemoClip]]) -> None:
    root, clips = corpus
    before = digests(root)
    victim, kept = clips[1].path, clips[0].path.stat().st_mtime_ns
    victim.with_suffix(".txt").unlink()
    victim.write_bytes(b"half a file")
    clips[2].path.unlink()
    assert render_corpus(SPEC, root, num_workers=1) == clips
    assert digests(root) == before
    assert clips[0].path.stat().st_mtime_ns == kept


def test_another_spec_replaces_the_clips(tmp_path: Path) -> None:
    short = DemoSpec(num_speakers=1, num_clips_per_speaker=1, clip_seconds=0.6, size_px=64)
    first = render_corpus(short, tmp_path, num_workers=1)
    other = DemoSpec(**{**vars(short), "seed": 5})
    second = render_corpus(other, tmp_path, num_workers=1)
    assert not first[0].path.exists() and second[0].path.exists()


def test_other_splits_replace_no_clip(tmp_path: Path) -> None:
    by_clip = DemoSpec(
        num_speakers=1, num_clips_per_speaker=3, clip_seconds=0.6, size_px=64, val_fraction=0.3, test_fraction=0.3
    )
    first = render_corpus(by_clip, tmp_path, num_workers=1)
    assert sorted(clip.split for clip in first) == ["test", "test", "val"]  # test has at least two clips
    times = [clip.path.stat().st_mtime_ns for clip in first]
    second = render_corpus(replace(by_clip, val_fraction=0.0, test_fraction=0.0), tmp_path, num_workers=1)
    assert {clip.split for clip in second} == {"train"}
    assert (tmp_path / "test.txt").read_text() == ""
    assert [clip.path.stat().st_mtime_ns for clip in second] == times


def test_clips_that_survive_a_kill_are_replaced_by_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = DemoSpec(num_speakers=1, num_clips_per_speaker=1, clip_seconds=0.6, size_px=64)
    (clip,) = render_corpus(short, tmp_path, num_workers=1)
    old = clip.path.read_bytes()
    longer = DemoSpec(**{**vars(short), "clip_seconds": 0.8})

    def killed(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            render_corpus(longer, tmp_path, num_workers=1)
    render_corpus(longer, tmp_path, num_workers=1)
    assert clip.path.read_bytes() != old


def test_foreign_clips_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mvlrs_v1").mkdir()
    with pytest.raises(UserError, match="not rendered by lipsmith"):
        render_corpus(SPEC, tmp_path, num_workers=1)


@pytest.mark.parametrize(
    ("name", "old", "new", "is_rendered_again"),
    [
        ("media/picture.py", "def to_bgr(", "@cache\ndef to_bgr(", True),
        ("media/output_sound.py", "_AAC_BLOCK_SAMPLES = 1024", "_AAC_BLOCK_SAMPLES = 2048", True),
        ("media/frame_times.py", "CLOCK_HZ = 90_000", "CLOCK_HZ = 45_000", True),
        ("features/alignment.py", "FPS = 25.0", "FPS = 30.0", True),
        ("corpora/demo/portrait/mouth.py", "class MouthPainter:", "class MouthPainter(Field):", True),
        ("media/file.py", "class MediaFile(", "@final\nclass MediaFile(", False),  # only reads
        ("media/writer.py", '"""Writes frames', '"""Stores frames', False),
    ],
)
def test_an_edit_of_code_that_makes_a_clip_renders_the_clips_again(
    tmp_path: Path,
    repo_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    old: str,
    new: str,
    is_rendered_again: bool,
) -> None:
    for folder in ("core", "corpora", "features", "media"):
        shutil.copytree(repo_root / "pipeline" / folder, tmp_path / "pipeline" / folder)
    monkeypatch.setattr(render, "CODE_ROOT", tmp_path)
    before, path = render._code_digest(), tmp_path / "pipeline" / name
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    assert (render._code_digest() != before) is is_rendered_again
