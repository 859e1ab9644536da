"""Promotion and the model registry on a real SQLite store."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from pipeline.core.errors import UserError
from pipeline.core.layout import Layout
from pipeline.inference.saved_model import model_sha256
from pipeline.params import Params
from pipeline.promote import champion
from pipeline.promote.lineage import REGISTERED_NAME
from pipeline.promote.registry import open_registry
from pipeline.promote.version_files import RegistryError
from pipeline.shards.index import IndexRow
from pipeline.shards.write import write_index
from pipeline.tracking.store import open_client
from tests.support.scored_models import figures, must_not_be_called, write_model


def index_row(clip_id: str, split: str) -> IndexRow:
    shard = f"{split}/{split}-00000.tar"
    sizes = {"num_frames": 25, "num_samples": 16000, "num_bytes": 1}
    return IndexRow(clip_id=clip_id, key=clip_id, speaker="s", split=split, shard=shard, fps=25.0, **sizes)


def test_the_error_for_missing_outputs_names_the_command_that_creates_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dvc repro evaluate@lstm_cbam"):
        champion.read_scores(Layout(tmp_path), "lstm_cbam")


@pytest.mark.slow
def test_a_sequence_of_promotions_and_refusals(layout: Layout, params: Params) -> None:
    def promote(*, force: bool = False) -> dict[str, Any]:
        decision = champion.promote(layout, "lstm_cbam", params, force=force, score_again=must_not_be_called)
        written = layout.decision_path
        assert json.loads(written.read_text()) == json.loads(json.dumps(decision))
        return decision

    write_model(layout, 8.0, 20.0, weight=1.0)
    first = promote()
    assert (first["outcome"], first["aliases"]) == ("promoted", {"champion": "1"})
    assert first["champion"] is None
    again = promote()
    assert (again["outcome"], again["is_registry_changed"]) == ("already_champion", False)

    write_model(layout, 7.5, 31.0, weight=2.0)  # FID increases by more than the limit
    worse = promote()
    assert (worse["outcome"], worse["aliases"]) == ("refused", {"champion": "1", "challenger": "2"})
    assert [r["rule"] for r in worse["rules"] if not r["passed"]] == ["max_fid_increase"]
    assert (worse["challenger"]["fid"], worse["champion"]["fid"]) == (31.0, 20.0)
    assert promote()["is_registry_changed"] is False

    write_model(layout, 7.0, 18.0, weight=2.5, num_failed=40)
    failing = promote()
    assert (failing["outcome"], failing["aliases"]) == ("refused", {"champion": "1", "challenger": "3"})
    assert [r["rule"] for r in failing["rules"] if not r["passed"]] == ["no_more_failed"]
    numbers = [(failing[role]["num_clips"], failing[role]["num_failed"]) for role in ("challenger", "champion")]
    assert numbers == [(4, 40), (44, 0)]

    write_model(layout, 7.5, 21.0, weight=3.0)
    better = promote()
    assert (better["outcome"], better["aliases"]) == ("promoted", {"champion": "4", "previous": "1"})

    write_model(layout, 9.0, 18.0, weight=4.0)
    forced = promote(force=True)
    assert (forced["outcome"], forced["forced"], forced["rescoring"]) == ("promoted", True, None)
    assert "min_lse_d_gain failed" in forced["reason"]

    _check_version_is_loadable(layout)


@pytest.mark.slow
def test_a_champion_of_another_evaluation_is_scored_again(layout: Layout, params: Params) -> None:
    scored: list[float] = []

    def score_again(layout: Layout, params: Params, folder: Path) -> dict[str, Any]:
        scored.append(float(load_file(folder / "weights.safetensors")["w"][0]))
        return figures(folder, 8.5, 22.0, evaluator="retrained")

    def promote() -> dict[str, Any]:
        return champion.promote(layout, "lstm_cbam", params, score_again=score_again)

    write_index(layout.clips_dir, [index_row("a", "train"), index_row("b", "train"), index_row("c", "test")])
    write_model(layout, 7.0, 20.0, weight=1.0, trained_on={"a", "b"})
    assert promote()["outcome"] == "promoted" and not scored

    # One of the champion's training clips is now held out, split into parts.
    held_out = [index_row(name, "test") for name in ("b-p000", "b-p001", "c")]
    write_index(layout.clips_dir, [index_row("a", "train"), *held_out])
    write_model(layout, 9.0, 18.0, weight=2.0, evaluator="retrained")
    refused = promote()
    assert (refused["outcome"], scored) == ("refused", [1.0])
    assert refused["champion"]["lse_d"] == 8.5
    assert (refused["rescoring"], refused["champion"]["num_known_clips"]) == (
        {"cause": "it had been scored under another evaluation", "fault": ""},
        1,
    )

    write_model(layout, 8.0, 18.0, weight=3.0, evaluator="retrained")
    better = promote()
    assert (better["aliases"], scored) == ({"champion": "3", "previous": "1"}, [1.0])  # the new metrics are stored
    assert (better["rescoring"], better["champion"]["num_known_clips"]) == (None, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("crops", "reason"),
    [
        ({"crop": "box"}, "its face crops have the geometry box, the challenger's square"),
        ({"crop_px": 128}, "its face crops are cut at 128 px, the challenger's at 96 px"),
    ],
)
def test_a_champion_with_other_crops_is_not_compared(
    layout: Layout, params: Params, crops: dict[str, Any], reason: str
) -> None:
    def score_again(layout: Layout, params: Params, folder: Path) -> dict[str, Any]:
        scored = figures(folder, 8.5, 22.0, evaluator="of other crops")
        return scored | {"protocol": scored["protocol"] | crops}

    write_model(layout, 7.0, 20.0, weight=1.0)
    champion.promote(layout, "lstm_cbam", params, score_again=must_not_be_called)
    write_model(layout, 6.0, 18.0, weight=2.0, evaluator="of its own crops")
    decision = champion.promote(layout, "lstm_cbam", params, score_again=score_again)
    assert decision["outcome"] == "not_comparable"
    assert reason in decision["reason"]


@pytest.mark.slow
def test_a_champion_whose_files_are_missing_can_be_replaced(layout: Layout, params: Params) -> None:
    write_model(layout, 7.0, 20.0, weight=1.0)
    champion.promote(layout, "lstm_cbam", params, score_again=must_not_be_called)
    shutil.rmtree(layout.root / "mlruns")
    write_model(layout, 6.0, 18.0, weight=2.0, evaluator="retrained")
    stays = champion.promote(layout, "lstm_cbam", params, score_again=must_not_be_called)
    assert stays["outcome"] == "not_comparable"
    assert "the files of version 1 of lipsmith-generator are missing at" in stays["reason"]
    assert "`python -m pipeline.promote` uploads them again" in stays["reason"]
    _purge_the_run_of(layout, "1")
    purged = champion.promote(layout, "lstm_cbam", params, score_again=must_not_be_called)
    assert (purged["outcome"], purged["champion"]["num_known_clips"]) == ("not_comparable", None)
    forced = champion.promote(layout, "lstm_cbam", params, force=True, score_again=must_not_be_called)
    assert forced["aliases"] == {"champion": "2", "previous": "1"}


@pytest.mark.slow
@pytest.mark.parametrize("is_run_purged", [False, True])
def test_missing_files_are_uploaded_again(layout: Layout, params: Params, is_run_purged: bool) -> None:
    write_index(layout.clips_dir, [index_row("a", "train"), index_row("c", "test")])
    write_model(layout, 7.0, 20.0, weight=1.0, trained_on={"a"})
    champion.promote(layout, "lstm_cbam", params, score_again=must_not_be_called)
    shutil.rmtree(layout.root / "mlruns")
    if is_run_purged:
        _purge_the_run_of(layout, "1")
    again = champion.promote(layout, "lstm_cbam", params, score_again=must_not_be_called)
    assert (again["outcome"], again["aliases"]) == ("already_champion", {"champion": "1"})
    with open_registry(layout) as registry:
        assert registry.trained_on("1") == {"a"}
        with registry.files("1") as folder:
            assert model_sha256(folder) == model_sha256(layout.model_dir("train_gan", "lstm_cbam"))


@pytest.mark.slow
def test_a_champion_moves_with_its_checkout(layout: Layout, params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    write_index(layout.clips_dir, [index_row("a", "train"), index_row("c", "test")])
    write_model(layout, 7.0, 20.0, weight=1.0, trained_on={"a"})
    inside = Layout(layout.root / "checkout")
    inside.root.mkdir()
    for name in ("data", "artifacts"):
        (layout.root / name).rename(inside.root / name)
    champion.promote(inside, "lstm_cbam", params, score_again=must_not_be_called)
    moved = Layout(layout.root / "moved")
    inside.root.rename(moved.root)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name)  # MLflow set them; another process would not have them
    with open_registry(moved) as registry:
        with registry.files(registry.aliased("champion")) as folder:
            assert sorted(path.name for path in folder.iterdir()) == ["model.json", "weights.safetensors"]
        assert registry.trained_on("1") == {"a"}
    write_model(moved, 6.0, 18.0, weight=2.0)
    assert champion.promote(moved, "lstm_cbam", params)["aliases"] == {"champion": "2", "previous": "1"}
    assert not inside.root.exists()


@pytest.mark.slow
def test_a_package_that_an_artifact_store_needs_is_named(
    layout: Layout, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    write_model(layout, 7.0, 20.0, weight=1.0)
    open_client(layout).create_experiment(f"lipsmith-{params.dataset.source}", artifact_location="s3://bucket/lips")
    with pytest.raises(RegistryError, match=r"need the package boto3; .*pip install boto3"):
        champion.promote(layout, "lstm_cbam", params)


@pytest.mark.slow
def test_unreadable_files_are_not_reported_as_missing(layout: Layout, params: Params) -> None:
    write_model(layout, 7.0, 20.0, weight=1.0)
    champion.promote(layout, "lstm_cbam", params)
    (weights,) = (layout.root / "mlruns").rglob("weights.safetensors")
    weights.unlink()
    weights.symlink_to(weights.name)  # listed, but a circular link
    unreadable = pytest.raises(RegistryError, match=r"version 1 .* cannot be read from .*: .*weights")
    with unreadable, open_registry(layout) as registry, registry.files("1"):
        pass


@pytest.mark.slow
def test_a_champion_that_cannot_be_scored_again_stays_with_a_reason(layout: Layout, params: Params) -> None:
    write_model(layout, 7.0, 20.0, weight=1.0)
    champion.promote(layout, "lstm_cbam", params, score_again=must_not_be_called)
    write_model(layout, 6.0, 18.0, weight=2.0, evaluator="retrained")

    def too_old(layout: Layout, params: Params, folder: Path) -> dict[str, Any]:
        raise UserError("a generator of another version")

    for score_again, fault in (
        (too_old, "a generator of another version"),
        (lambda layout, params, folder: figures(folder, 6.0, 18.0, evaluator="third"), "run `dvc repro`"),
    ):
        decision = champion.promote(layout, "lstm_cbam", params, score_again=score_again)
        assert decision["outcome"] == "not_comparable" and fault in decision["reason"]
        assert decision["aliases"] == {"champion": "1", "challenger": "2"}
        assert decision["champion"]["lse_d"] == 7.0


@pytest.mark.slow
def test_training_clips_are_listed_only_if_the_split_is_unchanged(layout: Layout, params: Params) -> None:
    """The training split may have changed between training and a promotion by hand."""
    write_index(layout.clips_dir, [index_row("a", "train"), index_row("new", "train"), index_row("c", "test")])
    write_model(layout, 7.0, 20.0, weight=1.0, trained_on={"a"})
    version = champion.promote(layout, "lstm_cbam", params)["challenger"]["version"]
    with open_registry(layout) as registry:
        assert registry.trained_on(version) is None


def test_errors_do_not_contain_the_password_of_the_store(
    layout: Layout, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://anna:hunter2@127.0.0.1:9")
    write_model(layout, 7.0, 20.0, weight=1.0)
    with pytest.raises(RegistryError, match=r"MLflow at http://") as caught:
        champion.promote(layout, "lstm_cbam", params)
    assert "hunter2" not in str(caught.value)


@pytest.mark.slow
def test_the_error_names_a_version_that_this_pipeline_did_not_register(layout: Layout, params: Params) -> None:
    write_model(layout, 7.0, 20.0, weight=1.0)
    client = open_client(layout)
    client.create_registered_model(REGISTERED_NAME)
    client.create_model_version(REGISTERED_NAME, source=layout.root.as_uri())
    client.set_registered_model_alias(REGISTERED_NAME, "champion", "1")
    with pytest.raises(RegistryError, match="version 1 of lipsmith-generator has no usable metrics"):
        champion.promote(layout, "lstm_cbam", params)


@pytest.mark.slow
def test_a_bug_in_the_rescoring_is_raised(layout: Layout, params: Params) -> None:
    write_model(layout, 8.0, 20.0, weight=1.0, evaluator="one")
    champion.promote(layout, "lstm_cbam", params)
    write_model(layout, 7.0, 20.0, weight=2.0, evaluator="two")

    def fail(error: Exception) -> champion.ScoreModel:
        def score_again(layout: Layout, params: Params, folder: Path) -> dict[str, Any]:
            raise error

        return score_again

    with pytest.raises(ValueError, match="shapes differ"):
        champion.promote(layout, "lstm_cbam", params, score_again=fail(ValueError("shapes differ")))
    with open_registry(layout) as registry:
        assert registry.aliases() == {"champion": "1"}
    decision = champion.promote(layout, "lstm_cbam", params, score_again=fail(UserError("of other code")))
    assert (decision["outcome"], decision["rescoring"]["fault"]) == ("not_comparable", "of other code")


def test_a_failing_store_is_reported_in_one_line(
    layout: Layout, params: Params, repo_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(repo_root / name, layout.root)
    write_model(layout, 7.0, 20.0, weight=1.0)
    layout.mlflow_db_path.write_text("no database")
    assert champion.main(["--root", str(layout.root)]) == 2
    assert f"MLflow at sqlite:///{layout.mlflow_db_path}: " in caplog.text


def _purge_the_run_of(layout: Layout, version: str) -> None:
    """Delete the run of a version, as ``mlflow gc`` does."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    client = open_client(layout)
    run_id = client.get_model_version(REGISTERED_NAME, version).run_id
    client.delete_run(run_id)
    store = SqlAlchemyStore(f"sqlite:///{layout.mlflow_db_path}", (layout.root / "mlruns").as_uri())
    store._hard_delete_run(run_id)


def _check_version_is_loadable(layout: Layout) -> None:
    with open_registry(layout) as registry:
        version = registry.aliased("champion")
        with registry.files(version) as folder:
            weights = (folder / "weights.safetensors").read_bytes()
            assert weights == (layout.model_dir("train_gan", "lstm_cbam") / "weights.safetensors").read_bytes()
            assert sorted(path.name for path in folder.iterdir()) == ["model.json", "weights.safetensors"]
        assert registry.scores(version).lse_d == 9.0
        assert registry.trained_on(version) is None  # no index of clips existed
    tags = open_client(layout).get_model_version(REGISTERED_NAME, version).tags
    assert {"lse_d", "lse_c", "fid", "evaluation_digest", "model_sha256", "variant"} <= set(tags)
