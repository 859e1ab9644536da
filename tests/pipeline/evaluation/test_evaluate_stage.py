"""The stages ``evaluate`` and ``compare`` on a whole small layout, with Inception replaced by block means."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from models.lse_syncnet import LseSyncNet
from pipeline import stage
from pipeline.cli.main import app
from pipeline.compare.table import comparison, read_result, shared_protocol
from pipeline.core import atomic, scratch
from pipeline.core.errors import DataError, TemporaryError, UserError
from pipeline.core.layout import CODE_ROOT, Layout
from pipeline.core.model_files import MODEL_NAME
from pipeline.evaluation import networks, score, setup, strips
from pipeline.inference import saved_model
from pipeline.inference.pretrained import INCEPTION, WeightsError
from pipeline.metrics.fitness import RealVideos
from pipeline.params import Params, load_params
from pipeline.params.edit import replace_values
from pipeline.promote import champion
from pipeline.shards.clip import Clip
from pipeline.shards.write import write_rejects
from pipeline.stage import StageContext
from pipeline.stages import compare, evaluate
from pipeline.tracking.tracker import Tracker
from pipeline.training.variants import recipe_of
from tests.pipeline.evaluation.conftest import NARROW_BOX
from tests.support.media_readers import header_of

pytestmark = pytest.mark.slow

ROWS = ("real", "lstm_cbam", "no_lstm", "no_cbam", "no_lstm_cbam", "wav2lip", "lipgan", "speech2vid", "copy_input")

SKILL = {"test_pairwise_accuracy": 0.9, "test_offset_within_one_frame": 0.8}


@pytest.fixture
def params(repo_root: Path) -> Params:
    params = load_params(repo_root / "params.yaml")
    runtime = params.runtime.model_copy(update={"num_threads": 1, "device": "cpu"})
    lse = params.evaluate.lse.model_copy(update={"weights": None})
    evaluate = params.evaluate.model_copy(update={"lse": lse, "num_strips": 1, "num_probes": 1})
    return params.model_copy(update={"runtime": runtime, "evaluate": evaluate})


@pytest.fixture
def layout(tmp_path: Path, shards_dir: Path, params: Params) -> Layout:
    layout = Layout(tmp_path)
    shutil.copyfile(CODE_ROOT / "params.yaml", layout.params_path)
    shutil.copytree(shards_dir, layout.clips_dir)
    write_rejects(layout.clips_dir, [])
    torch.manual_seed(0)
    state = LseSyncNet(0.03).state_dict()
    folder = layout.model_dir("train_evaluator")
    saved_model.save_model(folder, kind="lse_syncnet", config={"width": 0.03}, state=state, info={})
    for name, variant in params.variants.items():
        untrained = params.train_gan.model_copy(update={"width": 0.03, "predicts": "image"})  # change would be a copy
        recipe = recipe_of(untrained, variant)
        folder = layout.stage_dir("train_gan", name)
        state = recipe.build().state_dict()
        saved_model.save_model(
            folder / "model", kind=recipe.kind.name, config=asdict(recipe.config), state=state, info={}
        )
        (folder / "curve.csv").write_text("step,l1\n1,0.5\n2,0.4\n")
    return layout


def write_settings(layout: Layout, repo_root: Path) -> None:
    """Write the files of a checkout that uses the trained evaluator of `layout`."""
    text, _ = replace_values(
        (repo_root / "params.yaml").read_text(), {"evaluate.lse.weights": None, "evaluate.num_probes": 1}
    )
    atomic.write_text(layout.params_path, text)
    atomic.write_bytes(layout.root / "dvc.yaml", (repo_root / "dvc.yaml").read_bytes())


@pytest.fixture
def run_stage(
    layout: Layout, params: Params, block_means: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, Any]]:
    weights = layout.weights_dir / "inception.pt"
    atomic.write_bytes(weights, b"weights")
    monkeypatch.setattr(networks, "ensure_inception", lambda folder: weights)
    monkeypatch.setattr(networks, "load_inception", lambda path, device: None)
    monkeypatch.setattr(networks, "inception_features", lambda images, network: block_means(images))

    def run_one(
        stage: str, body: Callable[[StageContext], Any], variant: str | None = None, **changed: Any
    ) -> dict[str, Any]:
        used = params.model_copy(update={"evaluate": params.evaluate.model_copy(update=changed)})
        context = StageContext(stage, variant, used, layout, Tracker(None, None), "0" * 16, layout.scratch_dir / stage)
        metrics: dict[str, Any] = dict(body(context))
        atomic.write_json(layout.metrics_path(stage, variant), metrics)
        return metrics

    return run_one


def test_six_rows_end_to_end(run_stage: Callable[..., dict[str, Any]], layout: Layout) -> None:
    for name in ROWS:
        metrics = run_stage("evaluate", partial(evaluate._body, name), name)
        assert metrics["variant"] == name and metrics["evaluator"] == "trained"
        assert (metrics["num_clips"], metrics["num_failed"], metrics["num_rejected"]) == (4, 0, 0)
        (strip,) = (layout.stage_dir("evaluate", name) / "strips").glob("*.mp4")
        assert header_of(strip).has_audio
        with (layout.stage_dir("evaluate", name) / "clips.csv").open(newline="") as file:
            pairs = [(line["clip_id"], line["audio_clip_id"]) for line in csv.DictReader(file)]
        assert all((video == audio) is (name == "real") for video, audio in pairs)

    run_stage("compare", compare._body)
    content = json.loads(layout.comparison_path.read_text())
    assert [row["variant"] for row in content["rows"]] == list(ROWS)
    for row in content["rows"]:
        assert row["fid"] == pytest.approx(0, abs=1e-6) or row["variant"] not in ("real", "copy_input")
    folder = layout.stage_dir("compare")
    is_fit = content["fitness"]["is_fit"]  # of an untrained evaluator
    charts = {"scores.png", "training.png"} | ({"offsets.png"} if is_fit else set())
    assert {path.name for path in (folder / "plots").iterdir()} == charts
    assert "evaluator trained in this checkout" in (folder / "comparison.md").read_text()
    summary = layout.summary_path.read_text()
    assert summary.startswith("- The evaluator trained in this checkout can")
    assert summary.endswith("\nCaveats, intervals, charts and videos: artifacts/compare/index.html\n")
    assert (folder / "comparison.csv").read_text().startswith("variant,lse_d,lse_c,fid\nreal,")


def test_a_model_scored_again_by_the_gate_gets_the_figures_of_its_row(
    run_stage: Callable[..., dict[str, Any]], layout: Layout, params: Params
) -> None:
    row = run_stage("evaluate", partial(evaluate._body, "no_lstm"), "no_lstm")
    again = champion.score_registered(layout, params, layout.model_dir("train_gan", "no_lstm"))
    assert len(again.pop("lse_d_by_video")) == row["num_clips"]
    assert {name: row[name] for name in again} == again
    assert row["num_probes"] == 1 and 0 < row["reconstruction_ssim"] < 1
    assert row["reconstruction_warping_error"] > 0 and row["real_warping_error"] > 0
    assert {"lse_d", "lse_c", "fid", "generator_sha256", "protocol"} <= set(again)


def test_a_model_of_the_users_own_beside_the_comparison(
    run_stage: Callable[..., dict[str, Any]], layout: Layout, repo_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its folder is called; rows of another protocol are not shown."""
    monkeypatch.setattr(setup, "place_real_clips", lambda *_: RealVideos(4, 4))
    rows = {name: run_stage("evaluate", partial(evaluate._body, name), name) for name in ("copy_input", "no_lstm")}
    write_settings(layout, repo_root)
    atomic.write_json(layout.metrics_path("train_evaluator"), SKILL)
    monkeypatch.chdir(layout.root)

    def score_model(*further: str) -> str:
        done = CliRunner().invoke(app, ["score-model", "--model", str(folder), *further])
        assert done.exit_code == 0, done.output
        return done.stdout

    folder = shutil.copytree(layout.model_dir("train_gan", "no_lstm"), layout.root / "real")
    said = score_model("--out", "out.json")
    assert f"{layout.stage_dir('compare')} has no comparison; `dvc repro` creates it" in said
    assert "the evaluator on the held-out clips of this checkout: pairwise accuracy 0.90" in said
    figures = json.loads((layout.root / "out.json").read_text())
    assert {name: rows["no_lstm"][name] for name in figures} == figures

    monkeypatch.setattr(setup.Evaluation, "score_row", lambda *_: SimpleNamespace(metrics=figures))
    content = comparison([read_result(layout.stage_dir("evaluate", name)) for name in rows], 0.95, 50, 0)
    atomic.write_json(layout.comparison_path, content)
    alike = score_model()
    assert "has the same protocol" in alike and f"digest {figures['protocol']['sha256']}" in alike
    mine, theirs = (
        next(line for line in alike.splitlines() if f"| {name} |" in line) for name in (folder, "`no_lstm`")
    )
    assert mine.split("|")[2:] == theirs.split("|")[2:] and f"{figures['lse_d']:.3f}" in mine
    assert "| `copy_input` |" in alike and "last digits" not in alike

    unfit = figures | {"fitness": RealVideos(4, 1).figures("trained", "")}
    monkeypatch.setattr(setup.Evaluation, "score_row", lambda *_: SimpleNamespace(metrics=unfit))
    withheld = score_model("--out", "out.json")
    assert withheld.startswith(unfit["fitness"]["text"]) and "pairwise accuracy" not in withheld
    (mine,) = [line.split(" | ") for line in withheld.splitlines() if f"| {folder} |" in line]
    assert mine[1:4] == ["-"] * 3 and mine[-2:] == ["-", "- |"] and mine[4] == f"{figures['fid']:.2f}"
    written = json.loads((layout.root / "out.json").read_text())
    assert (written["lse_d"], written["withheld"]) == (None, unfit["fitness"]["text"])

    monkeypatch.setattr(setup.Evaluation, "score_row", lambda *_: SimpleNamespace(metrics=figures))
    content["rows"][0]["versions"]["torch"] = "1.0"
    atomic.write_json(layout.comparison_path, content)
    assert "its rows were computed with other versions of torch" in score_model()
    content["protocol"] |= {"reference": "same", "sha256": "0" * 64}
    atomic.write_json(layout.comparison_path, content)
    other = score_model()
    assert "another protocol, so its rows cannot be compared; differing: reference" in other
    assert "`copy_input`" not in other

    worse = rows["copy_input"] | {"lse_d": rows["copy_input"]["lse_d"] + 1, "within_one_frame": 1.0}
    atomic.write_json(layout.metrics_path("evaluate", "real"), worse)
    assert "real videos have a worse LSE-D" in score_model("--out", "out.json")
    assert json.loads((layout.root / "out.json").read_text())["lse_d"] is None


def test_a_model_of_another_crop_geometry_gets_its_crops_and_a_protocol_of_its_own(
    run_stage: Callable[..., dict[str, Any]], layout: Layout, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shards are square. A box model is shown box crops, which are pasted where they come from."""
    row = run_stage("evaluate", partial(evaluate._body, "no_lstm"), "no_lstm")
    assert row["protocol"]["crop"] == "square"
    folder = shutil.copytree(layout.model_dir("train_gan", "no_lstm"), layout.root / "adopted")
    path = folder / MODEL_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | {"info": {"crop": "box"}}))
    seen: list[Any] = []
    real: Callable[..., Any] = score.paste
    monkeypatch.setattr(score, "paste", lambda context, crops, boxes: real(context, crops, seen.append(boxes) or boxes))
    figures = champion.score_registered(layout, params, folder)
    assert {tuple(box) for boxes in seen for box in boxes.tolist()} == {NARROW_BOX}
    assert figures["protocol"]["crop"] == "box" and figures["num_clips"] == 4
    assert figures["protocol"]["sha256"] != row["protocol"]["sha256"]
    assert figures["lse_d"] != row["lse_d"]


def test_pairs_of_a_list_and_one_whose_clip_is_gone(run_stage: Callable[..., dict[str, Any]], layout: Layout) -> None:
    """Twelve pairs of four clips, as Wav2Lip's list has each video several times."""
    ids = [f"{speaker}/{number}" for speaker, number in (("a", 1), ("a", 2), ("b", 1), ("c", 1))]
    lines = [f"{audio} {video}" for video in ids for audio in ids if audio != video]
    (layout.root / "pairs.txt").write_text("\n".join([*lines, "a/1 z/9"]))
    metrics = run_stage("evaluate", partial(evaluate._body, "lstm_cbam"), "lstm_cbam", pairs=Path("pairs.txt"))
    assert (metrics["num_clips"], metrics["num_failed"]) == (12, 1)
    assert metrics["failures"] == [{"clip_id": "z/9", "reason": "z/9 is not among the held-out clips"}]
    assert metrics["protocol"]["num_pairs"] == 13
    assert len(read_result(layout.stage_dir("evaluate", "lstm_cbam")).clips) == 12
    real = run_stage("evaluate", partial(evaluate._body, "real"), "real", pairs=Path("pairs.txt"))
    assert real["num_clips"] == 4 and real["protocol"] == metrics["protocol"]
    assert real["fid_num_images"] == metrics["fid_num_images"]
    listed = [
        json.loads((layout.stage_dir("evaluate", name) / "takes" / "takes.json").read_text())["takes"]
        for name in ("real", "lstm_cbam")
    ]
    assert listed[0][0]["clip_id"] == listed[1][0]["clip_id"] == "a/1"


def test_rows_scored_differently_are_not_compared(run_stage: Callable[..., dict[str, Any]], layout: Layout) -> None:
    run_stage("evaluate", partial(evaluate._body, "real"), "real")
    run_stage("evaluate", partial(evaluate._body, "copy_input"), "copy_input", max_clips=3)
    results = [read_result(layout.stage_dir("evaluate", name)) for name in ("real", "copy_input")]
    with pytest.raises(UserError, match="copy_input and real have different protocols"):
        shared_protocol(results)


def test_a_clip_that_cannot_be_scored_gets_no_strip(
    run_stage: Callable[..., dict[str, Any]], layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    render: Callable[..., Any] = score.render

    def refuse(video: Clip, audio: Clip, generate: object) -> Any:
        if video.clip_id == "b/1":
            raise DataError("broken")
        return render(video, audio, generate)

    for module in (score, strips):
        monkeypatch.setattr(module, "render", refuse)
    metrics = run_stage("evaluate", partial(evaluate._body, "lstm_cbam"), "lstm_cbam", num_strips=9)
    assert [failure["clip_id"] for failure in metrics["failures"]] == ["b/1"]
    assert len(list((layout.stage_dir("evaluate", "lstm_cbam") / "strips").glob("*.mp4"))) == 3


def test_a_shape_bug_in_a_metric_fails_the_stage_and_no_clip(
    run_stage: Callable[..., dict[str, Any]],
    layout: Layout,
    params: Params,
    repo_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real: Callable[..., Any] = score.lse_scores
    monkeypatch.setattr(score, "lse_scores", lambda lip, audio, vshift: real(lip[1:], audio, vshift))
    monkeypatch.setattr(scratch, "fingerprint", lambda *_: "0" * 16)
    monkeypatch.setattr(stage, "_set_up_process", lambda: None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    write_settings(layout, repo_root)
    monkeypatch.chdir(layout.root)
    with pytest.raises(ValueError, match=r"lip and audio embeddings must be \[V, D\] of equal shape"):
        evaluate.main(["--variant", "real"])
    assert "no score for" not in caplog.text
    assert not layout.stage_dir("evaluate", "real").exists()


def test_weights_that_nobody_could_be_asked_for_are_worth_another_try(
    run_stage: Callable[..., dict[str, Any]], layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path) -> Path:
        raise WeightsError("nobody answers")

    monkeypatch.setattr(networks, "ensure_inception", fail)
    with pytest.raises(TemporaryError, match="nobody answers"):
        run_stage("evaluate", partial(evaluate._body, "real"), "real")
    atomic.write_bytes(layout.weights_dir / INCEPTION.name, b"something else")
    with pytest.raises(WeightsError):
        run_stage("evaluate", partial(evaluate._body, "real"), "real")


def test_unknown_variant_names_the_allowed_ones(
    repo_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(repo_root)
    assert evaluate.main(["--variant", "nope"]) == 2
    assert "no variant 'nope' in params.yaml; its variants are lstm_cbam, no_lstm" in caplog.text
