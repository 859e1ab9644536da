"""Videos of another system: what is paired, where both are cut, what is counted, and what may be compared."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

from models.lse_syncnet import LseSyncNet
from pipeline.cli.main import app
from pipeline.compare.table import ClipScore
from pipeline.core import atomic
from pipeline.core.errors import DataError, UserError
from pipeline.core.layout import Layout
from pipeline.evaluation import setup
from pipeline.evaluation.lips import NOT_INSTALLED
from pipeline.evaluation.videos import against
from pipeline.evaluation.videos import score as score_module
from pipeline.evaluation.videos.against import EarlierResult
from pipeline.evaluation.videos.faces import PairedFaces
from pipeline.evaluation.videos.pairing import pair_videos
from pipeline.inference import saved_model
from pipeline.media.errors import NoVideoError
from pipeline.media.file import MediaFile
from pipeline.media.writer import VideoWriter
from pipeline.metrics import OF_EVALUATOR
from pipeline.metrics.fitness import fitness_of_share
from pipeline.metrics.lips import LipScore
from pipeline.params import PreprocessParams, load_params
from pipeline.preprocess.reasons import RejectedError
from tests.support.drawn_face import FPS, draw_face
from tests.support.media_readers import read_samples

pytestmark = pytest.mark.slow

NUM_FRAMES = 40
LIP_METRICS = {f"{of}{name}" for of in ("", "real_") for name in ("opening_correlation", "pause_motion_px")}
Frames = list[NDArray[np.uint8]]


def swaying_head(num: int = NUM_FRAMES) -> Frames:
    return [draw_face(80 + 6 * np.sin(k / 8), 80) for k in range(num)]


def write_video(path: Path, frames: Frames, seed: int = 0, loudness: float = 0.1, fps: int = FPS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = np.random.default_rng(seed).normal(0, loudness, round(16_000 * len(frames) / fps)).astype(np.float32)
    height, width = frames[0].shape[:2]
    with VideoWriter(path, fps, (width, height), sound, match="video") as writer:
        for frame in frames:
            writer.write(frame)


@pytest.fixture
def params(repo_root: Path) -> PreprocessParams:
    return load_params(repo_root / "params.yaml").preprocess


FindFaces = Callable[[Path, Path], PairedFaces]


@pytest.fixture
def find_faces(params: PreprocessParams) -> Iterator[FindFaces]:
    """``PairedFaces.find`` of the generated and the real video at two paths; the files are closed after the test."""
    with ExitStack() as files:

        def find(generated: Path, reference: Path) -> PairedFaces:
            opened = [files.enter_context(MediaFile(path)) for path in (generated, reference)]
            return PairedFaces.find(*opened, params)

        yield find


def test_real_videos_name_the_pairs_and_what_matches_none_is_told(tmp_path: Path) -> None:
    for name in ("real/a/1.mp4", "real/a/2.mpg", "made/a/1.mov"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "made" / "b.mp4").touch()
    pairs, unmatched = pair_videos(tmp_path / "made", tmp_path / "real")
    found = {pair.name: pair.generated for pair in pairs}
    assert found == {"a/1": tmp_path / "made" / "a" / "1.mov", "a/2": None}
    assert unmatched == ["b"]
    with pytest.raises(UserError, match=r"no video in .*made has the name of one in .*a: for example, a/1 and 1;"):
        pair_videos(tmp_path / "made", tmp_path / "real" / "a")
    (tmp_path / "made" / "b.avi").touch()
    with pytest.raises(UserError, match=r"two videos named b: b\.avi and b\.mp4"):
        pair_videos(tmp_path / "made", tmp_path / "real")
    with pytest.raises(UserError, match="absent is not a folder"):
        pair_videos(tmp_path / "absent", tmp_path / "real")


def test_videos_in_a_linked_folder_are_paired(tmp_path: Path) -> None:
    for name in ("made/s1/a.mp4", "elsewhere/a.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "s1").symlink_to(tmp_path / "elsewhere")
    pairs, unmatched = pair_videos(tmp_path / "made", tmp_path / "real")
    assert [pair.name for pair in pairs] == ["s1/a"] and not unmatched


def test_both_videos_are_cut_where_the_real_face_is(tmp_path: Path, find_faces: FindFaces) -> None:
    real = swaying_head()
    write_video(tmp_path / "real.mp4", real)
    write_video(tmp_path / "twice.mp4", [cv2.resize(frame, (320, 320)) for frame in real])
    write_video(tmp_path / "moved.mp4", [np.roll(frame, 20, axis=1) for frame in real])
    kept, shown = find_faces(tmp_path / "twice.mp4", tmp_path / "real.mp4").crops("square")
    assert kept.shape == shown.shape == (NUM_FRAMES, 96, 96, 3)
    assert np.abs(kept.astype(int) - shown).mean() < 4
    narrow, _ = find_faces(tmp_path / "twice.mp4", tmp_path / "real.mp4").crops("box")
    assert (narrow < 60).sum() > 1.2 * (kept < 60).sum()  # features of the face are wider in a box crop
    _, moved = find_faces(tmp_path / "moved.mp4", tmp_path / "real.mp4").crops("square")
    assert np.abs(kept.astype(int) - moved).mean() > 15  # no detector brings it back to its place


def test_the_generated_videos_own_sound_is_heard_from_the_first_crop_on(
    tmp_path: Path, params: PreprocessParams, find_faces: FindFaces
) -> None:
    empty = [np.full((160, 160, 3), 110, np.uint8)] * 16
    write_video(tmp_path / "real.mp4", [*empty, *swaying_head()], seed=1)
    write_video(tmp_path / "made.mp4", [*empty, *swaying_head()], seed=2)
    faces = find_faces(tmp_path / "made.mp4", tmp_path / "real.mp4")
    assert (faces.start, len(faces.faces)) == (16, NUM_FRAMES)
    heard = faces.speech(params).astype(float)
    for name, is_heard in (("made", True), ("real", False)):
        sound = read_samples(tmp_path / f"{name}.mp4")[16 * 640 :][: len(heard)]
        assert bool(np.corrcoef(heard[: len(sound)], sound)[0, 1] > 0.9) is is_heard


@pytest.mark.parametrize("order", [("made", "sound"), ("sound", "made")])
def test_a_file_of_sound_alone_is_named(tmp_path: Path, find_faces: FindFaces, order: tuple[str, str]) -> None:
    write_video(tmp_path / "made.mp4", swaying_head())
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.float32), format="fltp", layout="mono")
        frame.rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(NoVideoError):
        find_faces(*(tmp_path / f"{name}.mp4" for name in order))


def test_the_longest_stretch_counts_whichever_detector_finds_it(tmp_path: Path, params: PreprocessParams) -> None:
    """A small face that only a closer look finds, after a large one for a moment."""
    near = [cv2.resize(frame, (640, 640)) for frame in swaying_head(30)]
    far = []
    for frame in swaying_head(60):
        picture = np.full((640, 640, 3), 110, np.uint8)
        picture[280:380, 280:380] = cv2.resize(frame, (100, 100), interpolation=cv2.INTER_AREA)
        far.append(picture)
    write_video(tmp_path / "a.mp4", [*near, *far])
    settings = params.model_copy(update={"min_face_px": 0, "detector_max_px": 160})
    with MediaFile(tmp_path / "a.mp4") as video:
        found = PairedFaces.find(video, video, settings)
    assert (found.start, len(found.faces)) == (30, 60)


def test_a_generated_video_must_show_a_face_where_the_real_one_has_it(
    tmp_path: Path, params: PreprocessParams, find_faces: FindFaces
) -> None:
    real = swaying_head()
    write_video(tmp_path / "real.mp4", real)

    def shown(frames: Frames) -> NDArray[np.uint8]:
        write_video(tmp_path / "made.mp4", frames)
        return find_faces(tmp_path / "made.mp4", tmp_path / "real.mp4").context(params)

    blurred = [np.concatenate([frame[:90], cv2.GaussianBlur(frame[90:], (0, 0), 8)]) for frame in real]
    assert len(shown(blurred)) == NUM_FRAMES
    gone = [np.full_like(frame, 110) for frame in real]
    assert len(shown([*real[:24], *gone[24:]])) == NUM_FRAMES
    with pytest.raises(
        RejectedError,
        match=r"the generated video: no face at the position of the real one in \d+ of \d+ searched frames",
    ):
        shown([*real[:12], *gone[12:]])
    with pytest.raises(RejectedError, match="the generated video: no face"):
        shown([np.roll(frame, 70, axis=1) for frame in real])


def test_the_evaluator_gets_faces_of_its_own_size_from_the_video(
    tmp_path: Path, params: PreprocessParams, find_faces: FindFaces
) -> None:
    """Enlarging a crop of preprocessing's size would lose more than half of the fine structure."""
    texture = np.random.default_rng(0).integers(-25, 25, size=(480, 480, 1))
    large = [cv2.resize(frame, (480, 480)) + texture for frame in swaying_head()]
    write_video(tmp_path / "real.mp4", [np.clip(frame, 0, 255).astype(np.uint8) for frame in large])
    shown = find_faces(tmp_path / "real.mp4", tmp_path / "real.mp4").context(params)
    assert shown.shape == (NUM_FRAMES, 224, 224, 3)
    enlarged = cv2.resize(cv2.resize(shown[0], (160, 160), interpolation=cv2.INTER_AREA), (224, 224))
    assert cv2.Laplacian(shown[0], cv2.CV_64F).var() > 2 * cv2.Laplacian(enlarged, cv2.CV_64F).var()


@pytest.mark.parametrize(("num_made", "num_kept"), [(NUM_FRAMES - 4, NUM_FRAMES - 4), (NUM_FRAMES + 9, NUM_FRAMES)])
def test_a_generated_video_may_lack_a_tenth_at_its_end(
    tmp_path: Path, find_faces: FindFaces, num_made: int, num_kept: int
) -> None:
    write_video(tmp_path / "real.mp4", swaying_head())
    write_video(tmp_path / "made.mp4", swaying_head(num_made))
    kept, shown = find_faces(tmp_path / "made.mp4", tmp_path / "real.mp4").crops("square")
    assert len(kept) == len(shown) == num_kept
    write_video(tmp_path / "made.mp4", swaying_head(NUM_FRAMES - 5))
    with pytest.raises(DataError, match="ends too early: it has 35 of the 40 frames"):
        find_faces(tmp_path / "made.mp4", tmp_path / "real.mp4").crops("square")


def test_sound_must_last_as_long_as_the_pictures_and_be_heard(
    tmp_path: Path, params: PreprocessParams, find_faces: FindFaces
) -> None:
    write_video(tmp_path / "real.mp4", swaying_head())
    write_video(tmp_path / "made.mp4", swaying_head())
    faces = find_faces(tmp_path / "made.mp4", tmp_path / "real.mp4")
    write_video(tmp_path / "short.mp4", swaying_head(30))
    with (
        MediaFile(tmp_path / "short.mp4") as short,
        pytest.raises(DataError, match=r"audio ends too early: it lasts 1\.\d\d of the 1\.60 s"),
    ):
        replace(faces, generated=short).speech(params)
    write_video(tmp_path / "silent.mp4", swaying_head(), loudness=0.0)
    with (
        MediaFile(tmp_path / "silent.mp4") as silent,
        pytest.raises(RejectedError, match="the generated video is silent"),
    ):
        replace(faces, generated=silent).speech(params)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"id": "lipsmith-unseen-1", "context_px": 1}, "id was 'lipsmith-unseen-1' and is now 'a'; only results with"),
        ({"crop": "box"}, "crop was 'box' and is now 'square'; their face crops show other parts; set preprocess.crop"),
        ({"references_sha256": "c"}, "the real videos differ; use the --reference folder of that result"),
        ({"evaluator_sha256": "c"}, "the evaluators differ, and so do their LSE scales"),
        ({"faces_settings": {"x": 1, "y": 2}}, "faces_settings was {'y': 2} and is now {'y': 3}; score those videos"),
    ],
)
def test_results_scored_otherwise_are_told_with_a_remedy(changed: dict[str, Any], said: str) -> None:
    earlier = {"id": "a", "references_sha256": "b", "evaluator_sha256": "b", "faces_settings": {"x": 1, "y": 3}}
    ours = earlier | {"crop": "square"}
    against.require_alike(ours, dict(ours), "theirs.json")
    against.require_alike(ours, earlier, "theirs.json")  # as results were before, all with square crops
    with pytest.raises(UserError, match=re.escape(said)):
        against.require_alike(ours, ours | changed, "theirs.json")
    against.require_alike(ours, ours | {"encodings": {"generated": {"vp9 yuv420p 160x160": 1}}}, "theirs.json")


def test_results_say_where_they_are_of_different_clips() -> None:
    def result(num_images: int, *lacking: str) -> dict[str, Any]:
        failures = [{"clip_id": name, "reason": ""} for name in lacking]
        return {"fid_num_images": num_images, "failures": failures, "versions": {"numpy": "2.1.0", "torch": "2.11.0"}}

    def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
        return against.protocol_differences(ours, EarlierResult(Path("theirs.json"), theirs, {}))

    assert differences(result(50, "a"), result(50, "a")) == []
    said = differences(result(30, "a", "b", "c"), result(50, "a", "z"))
    assert [line.split(",")[0] for line in said[:2]] == [
        "these videos have no score for 2 clips that the other result has",
        "theirs.json has no score for 1 clips that the other result has",
    ]
    assert said[2].startswith("FID uses 30 images here and 50 in theirs.json")
    other = result(50) | {"versions": {"numpy": "2.2.0", "torch": "2.11.0"}}
    (said_of_numpy,) = differences(result(50), other)
    assert said_of_numpy.startswith("numpy is 2.1.0 here and was 2.2.0 for theirs.json")
    other.pop("versions")  # as results were before
    assert differences(result(50), other) == []
    encoded = [result(50) | {"protocol": {"encodings": {"generated": {kind: 3}}}} for kind in ("a x 1x1", "b x 1x1")]
    assert differences(encoded[0], encoded[0]) == []
    (warning,) = differences(*encoded)
    assert warning.startswith("the generated videos are a x 1x1 (3) here and b x 1x1 (3) in theirs.json: the codec")


@pytest.fixture
def checkout(
    tmp_path: Path, repo_root: Path, block_means: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A small evaluator, and block means in place of Inception."""
    layout = Layout(tmp_path / "checkout")
    for name in ("params.yaml", "dvc.yaml"):
        atomic.write_bytes(layout.root / name, (repo_root / name).read_bytes())
    torch.manual_seed(0)
    folder = layout.model_dir("train_evaluator")
    state = LseSyncNet(0.03).state_dict()
    saved_model.save_model(folder, kind="lse_syncnet", config={"width": 0.03}, state=state, info={})
    atomic.write_bytes(layout.weights_dir / "inception.pt", b"weights")
    monkeypatch.setattr(setup, "ensure_inception", lambda weights_dir: weights_dir / "inception.pt")
    monkeypatch.setattr(setup, "load_inception", lambda path, device: None)
    monkeypatch.setattr(setup, "inception_features", lambda images, network: block_means(images))
    monkeypatch.chdir(layout.root)
    yield layout.root


def score(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["score", *map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


LOUD = 0.3


class LoudnessEvaluator:
    """Places a video in sync, or 5 frames off it if its sound is loud. LSE-D grows with the loudness."""

    name, sha256, width, precision = "judge-1", "e" * 64, 0.3125, "fp32"

    def __call__(self, context: NDArray[np.uint8], audio: NDArray[np.int16]) -> tuple[NDArray, NDArray]:
        num, offset = len(context) - 5, 5 * int(audio.std() / 32768 > LOUD / 2)
        embeddings = np.random.default_rng(0).normal(size=(num + offset, 16)).astype(np.float32)
        return embeddings[:num] + float(audio.std()) / 10_000, embeddings[offset:]


@pytest.fixture
def loudness_evaluator(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "load_evaluator", lambda *arguments: LoudnessEvaluator())


def test_a_system_that_copies_its_input_and_what_it_leaves_out(loudness_evaluator: None, tmp_path: Path) -> None:
    real, made = tmp_path / "real", tmp_path / "made"
    for number, name in enumerate("abcdefgh"):
        write_video(real / f"{name}.mp4", swaying_head(), seed=number)
    code, said = score("--generated", real, "--reference", real)
    assert code == 2 and "--generated and --reference are both" in said
    for name in ("a", "b"):
        made.mkdir(exist_ok=True)
        shutil.copy(real / f"{name}.mp4", made)
    write_video(made / "c.mp4", [frame[:120] for frame in swaying_head()])
    write_video(made / "e.mp4", [np.full_like(frame, 110) for frame in swaying_head()])
    write_video(made / "f.mp4", swaying_head(7))
    write_video(made / "g.mp4", swaying_head(), loudness=0.0)
    write_video(made / "h.mp4", swaying_head(48), fps=30)
    write_video(made / "z.mp4", swaying_head())
    out = tmp_path / "copied.json"
    code, said = score("--generated", made, "--reference", real, "--out", out)
    assert code == 0, said
    result = json.loads(out.read_text())
    assert (result["num_clips"], result["num_failed"]) == (3, 5)
    assert result["unmatched"] == ["z"]
    assert not any(name.endswith("_ci") for name in result)  # of three clips
    assert result["versions"]["numpy"] == np.__version__ and "numpy" not in json.dumps(result["protocol"])
    reasons = {failure["clip_id"]: failure["reason"] for failure in result["failures"]}
    assert "160x120, the real one 160x160" in reasons["c"]
    assert reasons["d"] == "there is no generated video of this name"
    assert reasons["e"].startswith("the generated video: no face at the position of the real one in")
    assert reasons["f"].startswith("the generated video ends too early: it has 7 of the 40 frames")
    assert reasons["g"].startswith("the generated video is silent: RMS 0.000000")
    assert "clips resampled before scoring: 1, such as h: the generated video is resampled from 30 to 25 fps" in said
    assert "no score: d: there is no generated video" in said
    assert "has no video with these names: z" in said
    whole, cut = "h264 yuv420p 160x160", "h264 yuv420p 160x120"
    assert f"encoding: generated {cut} (1), {whole} (6); real {whole} (7)" in said
    assert "warning: 1 generated videos are encoded otherwise" in said
    assert f"such as c: {cut} against {whole}; the codec alone moves LSE by 0.4 to 1.2" in said
    assert result["protocol"]["encodings"] == {"generated": {cut: 1, whole: 6}, "real": {whole: 7}}
    assert result["protocol"]["context_px"] == 224
    assert "| clips within 1 frame, % ↑ | 100.000 |" in said and "interval over clips" not in said
    assert "There are no intervals: they need at least 8 clips, and there are 3." in said
    rows = list(csv.DictReader(out.with_suffix(".csv").open(newline="")))
    assert [(row["clip_id"], row["status"]) for row in rows] == [
        ("a", "ok"),
        ("b", "ok"),
        ("c", "failed"),
        ("d", "failed"),
        ("e", "failed"),
        ("f", "failed"),
        ("g", "failed"),
        ("h", "ok"),
    ]
    (made / "h.mp4").unlink()
    assert score("--generated", made, "--reference", real, "--out", out)[0] == 0
    copied = json.loads(out.read_text())
    assert copied["fid"] == pytest.approx(0, abs=1e-6)
    assert copied["jitter_ratio"] == pytest.approx(1)

    (tmp_path / "folder.json").mkdir()
    for name in ("copied.csv", "folder.json"):
        code, said = score("--generated", made, "--reference", real, "--out", tmp_path / name)
        assert code == 2 and "must be a file whose name ends in .json" in said
    (made / "._a.mp4").write_bytes(b"a Mac's shadow of a file")

    code, said = score("--generated", made, "--reference", real, "--against", out)
    assert code == 0, said
    assert re.search(r"LSE-D.*\| \+0\.000 \|", said) and "| copied.json |" in said
    assert "both results have a score for only 2 clips: too few for intervals of the differences" in said
    out.with_suffix(".csv").unlink()
    code, said = score("--generated", made, "--reference", real, "--against", out)
    assert code == 0 and "copied.csv is missing: the differences have no intervals" in said


def write_pairs(folder: Path, num_in_sync: int, num: int = 5) -> tuple[Path, Path]:
    """Folders of loud generated videos, and of real ones, of which ``num_in_sync`` are placed in sync."""
    made, real = folder / "made", folder / "real"
    for k in range(num):
        write_video(made / f"{k}.mp4", swaying_head(), loudness=LOUD)
        write_video(real / f"{k}.mp4", swaying_head(), loudness=LOUD / 10 if k < num_in_sync else LOUD)
    return made, real


@pytest.mark.parametrize(("num_in_sync", "is_fit"), [(4, True), (3, False)])
def test_the_evaluator_must_place_four_fifths_of_the_real_videos(
    loudness_evaluator: None, tmp_path: Path, num_in_sync: int, is_fit: bool
) -> None:
    made, real = write_pairs(tmp_path, num_in_sync)
    out = tmp_path / "made.json"
    code, said = score("--generated", made, "--reference", real, "--out", out)
    assert code == 0, said
    result = json.loads(out.read_text())
    assert result["within_one_frame"] == (0 if is_fit else None)  # of the generated videos, all of which are loud
    assert result["fitness"] == {
        "is_fit": is_fit,
        "num_real_videos": 5,
        "num_within_one_frame": num_in_sync,
        "text": fitness_of_share(num_in_sync / 5, "judge-1").text,
    }
    assert said.startswith(f"{result['fitness']['text']}\n\n| ")
    verdict = f"{'yes' if is_fit else 'no'}: {num_in_sync} of 5 real videos within 1 frame"
    assert f"| evaluator can judge these clips | {verdict} |" in said
    assert ("Do not use its LSE values. In params.yaml, set evaluate.lse.weights to null" in said) is not is_fit
    assert ("LSE is comparable with other results of judge-1 only" in said) is is_fit
    assert "fitness" not in result["protocol"]

    code, said = score("--generated", made, "--reference", real, "--against", out)
    assert code == 0, said
    assert f"| evaluator can judge these clips | {verdict} | {verdict} |  |" in said
    assert ("both results have a score for only 5 clips" in said) is is_fit


def test_what_an_evaluator_measures_that_cannot_judge_is_withheld(loudness_evaluator: None, tmp_path: Path) -> None:
    """In table, JSON and CSV; the other metrics are still compared."""
    made, real = write_pairs(tmp_path, num_in_sync=1, num=2)
    out = tmp_path / "made.json"
    code, said = score("--generated", made, "--reference", real, "--out", out)
    assert code == 0, said
    result = json.loads(out.read_text())
    assert (
        {name for name, value in result.items() if value is None} - LIP_METRICS
        == {name for name in result if name.removesuffix("_ci") in OF_EVALUATOR}
        >= {"lse_d", "lse_c", "within_one_frame", "offset_mean_frames", "offset_histogram"}
    )
    assert result["withheld"] == result["fitness"]["text"]
    assert "cannot judge these clips: it places only 50.0% of the real videos" in result["withheld"]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines() if line.startswith("| ")]
    shown = {line[0] for line in lines[2:] if line[1] != "-"}
    assert shown == {"evaluator can judge these clips", "FID ↓", "1000 KID ↓", "jitter / real (both as encoded)"}
    assert "-: withheld, because it means nothing: the evaluator cannot judge these clips" in said
    rows = list(csv.DictReader(out.with_suffix(".csv").open(newline="")))
    assert {row[key] for row in rows for key in ("lse_d", "lse_c", "offset_frames", "lse_d_valid")} == {""}
    assert all(row["status"] == "ok" and float(row["mouth_jitter"]) > 0 for row in rows)

    code, said = score("--generated", made, "--reference", real, "--against", out)
    assert code == 0, said
    assert "| LSE-D ↓ | - | - | - |" in said and re.search(r"\| FID ↓ \| [\d.]+ \| [\d.]+ \| \+0.000 \|", said)
    assert "LSE differences" not in said and "is missing" not in said


def test_lip_metrics_of_both_sides_are_shown(
    loudness_evaluator: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The networks are replaced; the first call is for the real video, the second for the generated one."""
    scores = iter([LipScore(0.5, 0.1, 20), LipScore(0.25, 0.3, 20)] * 2)
    monkeypatch.setattr(
        setup.LipScorer, "open", lambda *_: type("Fake", (), {"missing": "", "__call__": lambda *_: next(scores)})()
    )
    made, real = write_pairs(tmp_path, num_in_sync=1, num=1)
    out = tmp_path / "made.json"
    code, said = score("--generated", made, "--reference", real, "--out", out)
    assert code == 0, said
    assert "| opening ~ loudness ↑ | 0.250 |" in said and "| opening ~ loudness, real videos | 0.500 |" in said
    assert "| lips in pauses, px | 0.300 |" in said and "| lips in pauses, px, real videos | 0.100 |" in said
    assert "not measured" not in said
    (row,) = csv.DictReader(out.with_suffix(".csv").open(newline=""))
    assert (row["opening_correlation"], row["pause_motion_px"]) == ("0.250000", "0.300000")
    code, said = score("--generated", made, "--reference", real, "--against", out)
    assert code == 0 and "| opening ~ loudness ↑ | 0.250 | 0.250 | +0.000 |" in said


def test_without_the_extra_the_lip_metrics_are_dashes_with_the_command(
    loudness_evaluator: None, tmp_path: Path
) -> None:
    made, real = write_pairs(tmp_path, num_in_sync=1, num=1)
    code, said = score("--generated", made, "--reference", real)
    assert code == 0 and "| opening ~ loudness ↑ | - |" in said and "| lips in pauses, px | - |" in said
    assert f"are not measured: {NOT_INSTALLED}" in said


def test_without_sound_of_the_real_videos_the_fitness_is_unknown(loudness_evaluator: None, tmp_path: Path) -> None:
    made, real = write_pairs(tmp_path, num_in_sync=1, num=1)
    write_video(real / "0.mp4", swaying_head(), loudness=0.0)
    out = tmp_path / "made.json"
    code, said = score("--generated", made, "--reference", real, "--out", out)
    assert code == 0, said
    fitness = json.loads(out.read_text())["fitness"]
    assert (fitness["is_fit"], fitness["num_real_videos"]) == (None, 0)
    assert said.startswith(
        "Whether the evaluator judge-1 can judge these clips is unknown: none of the real videos could be placed. Give "
        "--reference videos with their own sound.\n"
    )
    assert "| evaluator can judge these clips | unknown |" in said


def test_a_bug_is_no_clip_without_a_score(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = tmp_path / "real", tmp_path / "made"
    write_video(real / "a.mp4", swaying_head())
    write_video(made / "a.mp4", swaying_head())
    with monkeypatch.context() as patch:
        patch.setattr(score_module, "mouth_jitter", lambda frames: frames[len(frames)])
        with pytest.raises(IndexError):
            score("--generated", made, "--reference", real, "--out", tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists() and not (tmp_path / "out.csv").exists()
    (made / "a.mp4").write_bytes(b"no video")
    code, said = score("--generated", made, "--reference", real)
    assert (
        code == 3 and "none of 1 clips could be scored; 1 of them: the generated video a.mp4: cannot be opened" in said
    )


def test_results_of_other_references_or_other_files_are_no_comparison(loudness_evaluator: None, tmp_path: Path) -> None:
    real, made = tmp_path / "real", tmp_path / "made"
    write_video(real / "a.mp4", swaying_head())
    write_video(made / "a.mp4", swaying_head())
    out = tmp_path / "first.json"
    assert score("--generated", made, "--reference", real, "--out", out)[0] == 0
    write_video(real / "a.mp4", swaying_head(), seed=7)
    code, said = score("--generated", made, "--reference", real, "--against", out)
    assert code == 2 and "first.json has another protocol: references_sha256 was" in said
    result = json.loads(out.read_text())
    for content, wrong in (
        ("{}", "is not a result of `python -m pipeline score --out`: fitness: Field required; lse_d: Field required; "),
        ("[1]", "Input should be an object"),
        ("LSE-D", "Invalid JSON"),
        (json.dumps(result | {"lse_c": math.nan}), "lse_c: Input should be a finite number"),
        (json.dumps(result | {"failures": ["a"]}), "failures.0: "),
        (json.dumps(result | {"lse_d": 99.0}), "first.csv does not belong to"),
    ):
        out.write_text(content)
        code, said = score("--generated", made, "--reference", real, "--against", out)
        assert code == 2 and wrong in said
    code, said = score("--generated", made, "--reference", real, "--against", tmp_path / "absent.json")
    assert code == 2 and "absent.json cannot be read: No such file" in said


def test_a_difference_is_taken_clip_by_clip(repo_root: Path) -> None:
    """Clips differ by far more than the systems do; the same small gain in each is sure all the same."""
    means: dict[str, Any] = {
        "fitness": {"is_fit": True, "num_real_videos": 3, "num_within_one_frame": 3},
        "fid": 20.0,
        "kid": 0.01,
        "jitter_ratio": 0.5,
        **dict.fromkeys(LIP_METRICS),
        "within_one_frame": 1.0,
        "offset_median_frames": 0.0,
        "share_at_limit": 0.0,
        "num_short_clips": 0,
        "lse_d_valid": 4.0,
        "lse_c_valid": 2.5,
    }
    ours = {(name, name): clip_of(5.0 + 4 * (place % 2)) for place, name in enumerate("abcdefgh")}
    theirs = {name: clip_of(score.lse_d + 0.5) for name, score in ours.items()} | {("z", "z"): clip_of(1.0)}
    other = EarlierResult(Path("theirs.json"), means | {"lse_d": 6.778, "lse_c": 3.0}, theirs)
    params = load_params(repo_root / "params.yaml").compare
    table, said = against.against_table(means | {"lse_d": 7.0, "lse_c": 3.0}, ours, other, params, seed=0)
    differences = {row[0]: row[3] for row in table.cells}
    assert differences["LSE-D ↓"] == "-0.500 [-0.500, -0.500]"  # and not 7.000 - 6.778: they have one clip more
    assert differences["FID ↓"] == "+0.000"
    assert "the 8 clips that both results have" in said[0]
    assert said[1].startswith("the interval of the LSE-C difference includes 0")
    assert "LSE-C ↑, edge valid" not in differences
    shorter = means | {"lse_d": 7.0, "lse_c": 3.0, "num_short_clips": 1, "lse_c_valid": 2.0}
    rows = against.against_table(shorter, ours, other, params, seed=0)[0].cells
    assert ["LSE-C ↑, edge valid", "2.000", "2.500", "-0.500"] in rows
    table, said = against.against_table(
        means | {"lse_d": 9.0, "lse_c": 3.0}, {("a", "a"): clip_of(9.0)}, other, params, seed=0
    )
    assert {row[0]: row[3] for row in table.cells}["LSE-D ↓"] == "+3.500"
    assert said == [
        "both results have a score for only 1 clips: too few for intervals of the differences, which need 8"
    ]


def clip_of(lse_d: float) -> ClipScore:
    return ClipScore(lse_d=lse_d, lse_c=3.0, offset_frames=0, mouth_jitter=1.0, real_mouth_jitter=1.0)
