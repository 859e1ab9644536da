"""The command `score`: what it prints and writes for videos of another system."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

from models.lse_syncnet import LseSyncNet
from pipeline.cli.main import app
from pipeline.core import atomic
from pipeline.core.layout import Layout
from pipeline.evaluation import networks
from pipeline.evaluation.lips import NOT_INSTALLED
from pipeline.evaluation.videos import score as score_module
from pipeline.inference import saved_model
from pipeline.metrics import OF_EVALUATOR
from pipeline.metrics.fitness import fitness_of_share
from pipeline.metrics.lips import LipScore
from tests.support.scored_videos import LIP_METRICS, swaying_head, write_video

pytestmark = pytest.mark.slow


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
    monkeypatch.setattr(networks, "ensure_inception", lambda weights_dir: weights_dir / "inception.pt")
    monkeypatch.setattr(networks, "load_inception", lambda path, device: None)
    monkeypatch.setattr(networks, "inception_features", lambda images, network: block_means(images))
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
    monkeypatch.setattr(networks, "load_evaluator", lambda *arguments: LoudnessEvaluator())


def test_a_system_that_copies_its_input_and_what_it_leaves_out(loudness_evaluator: None, tmp_path: Path) -> None:
    real, made = tmp_path / "real", tmp_path / "made"
    for number, name in enumerate("abcdefgh"):
        write_video(real / f"{name}.mp4", swaying_head(), seed=number)
    code, said = score("--generated", real, "--real", real)
    assert code == 2 and "--generated and --real are both" in said
    code, said = score("--generated", real / "a.mp4", "--real", real)
    assert code == 2 and "skipped" not in said
    assert f"--generated {real / 'a.mp4'} is not a folder; --generated and --real need folders" in said
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
    code, said = score("--generated", made, "--real", real, "--out", out)
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
    assert (
        "clips resampled or cut before scoring: 1, such as h: the generated video is resampled from 30 to 25 fps"
        in said
    )
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
    assert score("--generated", made, "--real", real, "--out", out)[0] == 0
    copied = json.loads(out.read_text())
    assert copied["fid"] == pytest.approx(0, abs=1e-6)
    assert copied["jitter_ratio"] == pytest.approx(1)

    (tmp_path / "folder.json").mkdir()
    for name in ("copied.csv", "folder.json"):
        code, said = score("--generated", made, "--real", real, "--out", tmp_path / name)
        assert code == 2 and "must be a file whose name ends in .json" in said
    (made / "._a.mp4").write_bytes(b"a Mac's shadow of a file")

    code, said = score("--generated", made, "--real", real, "--against", out)
    assert code == 0, said
    assert re.search(r"LSE-D.*\| \+0\.000 \|", said) and "| copied.json |" in said
    assert "both results have a score for only 2 clips: too few for intervals of the differences" in said
    out.with_suffix(".csv").unlink()
    code, said = score("--generated", made, "--real", real, "--against", out)
    assert code == 0 and "copied.csv is missing: the differences have no intervals" in said


def write_pairs(folder: Path, num_in_sync: int, num: int = 5) -> tuple[Path, Path]:
    """Folders of loud generated videos, and of real ones, of which ``num_in_sync`` are placed in sync."""
    made, real = folder / "made", folder / "real"
    for k in range(num):
        write_video(made / f"{k}.mp4", swaying_head(), loudness=LOUD)
        write_video(real / f"{k}.mp4", swaying_head(), loudness=LOUD / 10 if k < num_in_sync else LOUD)
    return made, real


@pytest.mark.parametrize(("num_in_sync", "is_fit"), [(4, None), (3, False)])
def test_the_evaluator_must_place_four_fifths_of_the_real_videos(
    loudness_evaluator: None, tmp_path: Path, num_in_sync: int, is_fit: bool | None
) -> None:
    made, real = write_pairs(tmp_path, num_in_sync)
    out = tmp_path / "made.json"
    code, said = score("--generated", made, "--real", real, "--out", out)
    assert code == 0, said
    result = json.loads(out.read_text())
    assert result["within_one_frame"] == (
        None if is_fit is False else 0
    )  # of the generated videos, all of which are loud
    assert result["fitness"] == {
        "is_fit": is_fit,
        "num_real_videos": 5,
        "num_within_one_frame": num_in_sync,
        "text": fitness_of_share(num_in_sync / 5, "judge-1", 5).text,
    }
    assert said.startswith(f"{result['fitness']['text']}\n\n| ")
    verdict = f"{'no' if is_fit is False else 'unknown'}: {num_in_sync} of 5 real videos within 1 frame"
    assert f"| evaluator can judge these clips | {verdict} |" in said
    assert ("Do not use its LSE values. In params.yaml, set evaluate.lse.weights to null" in said) is (is_fit is False)
    assert ("LSE is comparable with other results of judge-1 only" in said) is (is_fit is None)
    assert "fitness" not in result["protocol"]

    code, said = score("--generated", made, "--real", real, "--against", out)
    assert code == 0, said
    assert f"| evaluator can judge these clips | {verdict} | {verdict} |  |" in said
    assert ("both results have a score for only 5 clips" in said) is (is_fit is None)


def test_what_an_evaluator_measures_that_cannot_judge_is_withheld(loudness_evaluator: None, tmp_path: Path) -> None:
    """In table, JSON and CSV; the other metrics are still compared."""
    made, real = write_pairs(tmp_path, num_in_sync=1, num=2)
    out = tmp_path / "made.json"
    code, said = score("--generated", made, "--real", real, "--out", out)
    assert code == 0, said
    result = json.loads(out.read_text())
    assert (
        {name for name, value in result.items() if value is None} - LIP_METRICS
        == {name for name in result if name.removesuffix("_ci") in OF_EVALUATOR}
        >= {"lse_d", "lse_c", "within_one_frame", "offset_mean_frames", "offset_histogram"}
    )
    assert result["withheld"] == result["fitness"]["text"]
    assert "cannot judge these clips: it places only 1 of 2 real videos" in result["withheld"]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines() if line.startswith("| ")]
    shown = {line[0] for line in lines[2:] if line[1] != "-"}
    assert shown == {"evaluator can judge these clips", "FID ↓", "1000 KID ↓", "jitter / real (both as encoded)"}
    assert "-: withheld, because the evaluator cannot judge these clips" in said
    rows = list(csv.DictReader(out.with_suffix(".csv").open(newline="")))
    assert {row[key] for row in rows for key in ("lse_d", "lse_c", "offset_frames", "lse_d_valid")} == {""}
    assert all(row["status"] == "ok" and float(row["mouth_jitter"]) > 0 for row in rows)

    code, said = score("--generated", made, "--real", real, "--against", out)
    assert code == 0, said
    assert "| LSE-D ↓ | - | - | - |" in said and re.search(r"\| FID ↓ \| [\d.]+ \| [\d.]+ \| \+0.000 \|", said)
    assert "LSE differences" not in said and "is missing" not in said


def test_lip_metrics_of_both_sides_are_shown(
    loudness_evaluator: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The networks are replaced; the first call is for the generated video, the second for the real one."""
    scores = iter([LipScore(0.25, 0.3, 20), LipScore(0.5, 0.1, 20)] * 2)
    monkeypatch.setattr(
        networks.LipScorer, "open", lambda *_: type("Fake", (), {"missing": "", "__call__": lambda *_: next(scores)})()
    )
    made, real = write_pairs(tmp_path, num_in_sync=1, num=1)
    out = tmp_path / "made.json"
    code, said = score("--generated", made, "--real", real, "--out", out)
    assert code == 0, said
    assert "| opening ~ loudness ↑ | 0.250 |" in said and "| opening ~ loudness, real videos | 0.500 |" in said
    assert "| lips in pauses, px | 0.300 |" in said and "| lips in pauses, px, real videos | 0.100 |" in said
    assert "not measured" not in said
    (row,) = csv.DictReader(out.with_suffix(".csv").open(newline=""))
    assert (row["opening_correlation"], row["pause_motion_px"]) == ("0.250000", "0.300000")
    code, said = score("--generated", made, "--real", real, "--against", out)
    assert code == 0 and "| opening ~ loudness ↑ | 0.250 | 0.250 | +0.000 |" in said


def test_without_the_extra_the_lip_metrics_are_dashes_with_the_command(
    loudness_evaluator: None, tmp_path: Path
) -> None:
    made, real = write_pairs(tmp_path, num_in_sync=1, num=1)
    code, said = score("--generated", made, "--real", real)
    assert code == 0 and "| opening ~ loudness ↑ | - |" in said and "| lips in pauses, px | - |" in said
    assert f"are not measured: {NOT_INSTALLED}" in said


def test_without_sound_of_the_real_videos_the_fitness_is_unknown(loudness_evaluator: None, tmp_path: Path) -> None:
    made, real = write_pairs(tmp_path, num_in_sync=1, num=1)
    write_video(real / "0.mp4", swaying_head(), loudness=0.0)
    out = tmp_path / "made.json"
    code, said = score("--generated", made, "--real", real, "--out", out)
    assert code == 0, said
    fitness = json.loads(out.read_text())["fitness"]
    assert (fitness["is_fit"], fitness["num_real_videos"]) == (None, 0)
    assert said.startswith(
        "Whether the evaluator judge-1 can judge these clips is unknown: none of the real videos could be placed. Give "
        "videos with their own sound as --real.\n"
    )
    assert "| evaluator can judge these clips | unknown |" in said


def test_a_bug_is_no_clip_without_a_score(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, made = tmp_path / "real", tmp_path / "made"
    write_video(real / "a.mp4", swaying_head())
    write_video(made / "a.mp4", swaying_head())
    with monkeypatch.context() as patch:
        patch.setattr(score_module, "mouth_jitter", lambda frames: frames[len(frames)])
        with pytest.raises(IndexError):
            score("--generated", made, "--real", real, "--out", tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists() and not (tmp_path / "out.csv").exists()
    (made / "a.mp4").write_bytes(b"no video")
    code, said = score("--generated", made, "--real", real)
    assert (
        code == 3 and "none of 1 clips could be scored; 1 of them: the generated video a.mp4: cannot be opened" in said
    )


def test_results_of_other_videos_or_files_are_no_comparison(loudness_evaluator: None, tmp_path: Path) -> None:
    real, made = tmp_path / "real", tmp_path / "made"
    write_video(real / "a.mp4", swaying_head())
    write_video(made / "a.mp4", swaying_head())
    out = tmp_path / "first.json"
    assert score("--generated", made, "--real", real, "--out", out)[0] == 0
    write_video(real / "a.mp4", swaying_head(), seed=7)
    code, said = score("--generated", made, "--real", real, "--against", out)
    assert code == 2 and "first.json has another protocol: real_videos_sha256 was" in said
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
        code, said = score("--generated", made, "--real", real, "--against", out)
        assert code == 2 and wrong in said
    code, said = score("--generated", made, "--real", real, "--against", tmp_path / "absent.json")
    assert code == 2 and "absent.json cannot be read: No such file" in said
