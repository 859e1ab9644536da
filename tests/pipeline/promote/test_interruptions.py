"""Promotions while another process, an interruption or an artifact store interferes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.core import atomic
from pipeline.core.errors import TemporaryError, UserError
from pipeline.core.layout import Layout
from pipeline.params import Params
from pipeline.promote import champion
from pipeline.promote.lineage import REGISTERED_NAME
from pipeline.promote.registry import open_registry
from pipeline.promote.version_files import RegistryError, clip_scores_name, read_text
from pipeline.tracking.store import open_client
from tests.support.scored_models import figures, must_not_be_called, write_model


def test_a_text_is_missing_only_if_the_store_answers_without_it(tmp_path: Path) -> None:
    root, name = tmp_path.as_uri(), "clip_scores/a.json"
    assert read_text(root, name) is None
    (tmp_path / "clip_scores").mkdir()
    assert read_text(root, name) is None
    (tmp_path / name).write_text("{}")
    assert read_text(root, name) == "{}"
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("a.json")  # listed, but a circular link
    with pytest.raises(RegistryError, match=r"clip_scores/a\.json cannot be read from file://"):
        read_text(root, name)


def test_an_evaluator_that_prefers_copied_inputs_is_unfit_for_the_gate_too(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_model(layout, 8.0, 20.0, weight=1.0)
    assert champion.read_scores(layout, "lstm_cbam").unfit == ""
    protocol = {"protocol": {"evaluator": "trained", "sha256": "digest-e"}, "within_one_frame": 1.0, "num_clips": 44}
    for name, lse_d in (("real", 8.0), ("copy_input", 7.0)):
        atomic.write_json(layout.metrics_path("evaluate", name), {**protocol, "lse_d": lse_d, "lse_c": 5.0})
    assert "real videos have a worse LSE-D" in champion.read_scores(layout, "lstm_cbam").unfit


@pytest.mark.slow
def test_a_champion_that_another_checkout_promotes_meanwhile_is_not_replaced(layout: Layout, params: Params) -> None:
    def score_again(layout: Layout, params: Params, folder: Path) -> dict[str, Any]:
        client = open_client(layout)
        theirs = client.create_model_version(REGISTERED_NAME, source=layout.root.as_uri())
        client.set_registered_model_alias(REGISTERED_NAME, "champion", theirs.version)
        return figures(folder, 8.5, 22.0, evaluator="retrained")

    write_model(layout, 7.0, 20.0, weight=1.0)
    champion.promote(layout, "lstm_cbam", params, score_again=must_not_be_called)
    write_model(layout, 6.0, 18.0, weight=2.0, evaluator="retrained")
    with pytest.raises(TemporaryError, match=r"\(version before: 1, now: 2\); no alias was moved"):
        champion.promote(layout, "lstm_cbam", params, score_again=score_again)
    with open_registry(layout) as registry:
        assert registry.aliases() == {"champion": "2"}


@pytest.mark.slow
def test_an_interrupted_promotion_leaves_no_list_of_clips_of_the_former_champion(
    layout: Layout, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    def promote(*, is_killed: bool = False) -> str:
        with monkeypatch.context() as patch:
            if is_killed:
                patch.setattr(champion, "_keep_manifest", _killed)
            return str(champion.promote(layout, "lstm_cbam", params)["outcome"])

    def write_clips(text: str) -> None:
        layout.manifest_path.parent.mkdir(exist_ok=True)
        layout.manifest_path.write_text(text)

    write_clips("first")
    write_model(layout, 8.0, 20.0, weight=1.0)
    assert promote() == "promoted" and layout.champion_manifest_path.read_text() == "first"
    write_clips("second")
    assert promote() == "already_champion" and layout.champion_manifest_path.read_text() == "first"
    write_model(layout, 7.5, 20.0, weight=2.0)
    with pytest.raises(KeyboardInterrupt):
        promote(is_killed=True)
    assert not layout.champion_manifest_path.exists()
    assert promote() == "already_champion" and layout.champion_manifest_path.read_text() == "second"


def _killed(layout: Layout) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_missing_and_unreadable_scores_by_video_are_named(layout: Layout, params: Params) -> None:
    def fail(layout: Layout, params: Params, folder: Path) -> dict[str, Any]:
        raise UserError("no CUDA here")

    write_model(layout, 8.0, 20.0, weight=1.0)
    champion.promote(layout, "lstm_cbam", params)
    (scores,) = (layout.root / "mlruns").rglob("clip_scores")
    shutil.rmtree(scores)
    write_model(layout, 7.5, 20.0, weight=2.0)
    refused = champion.promote(layout, "lstm_cbam", params, score_again=fail)
    assert refused["rescoring"] == {"cause": "its scores by video were missing", "fault": "no CUDA here"}
    assert "8 are required; the champion could not be scored again: no CUDA here" in refused["reason"]

    former = refused["champion"]
    link = scores.parent / clip_scores_name(former["model_sha256"], former["evaluation_digest"])
    scores.mkdir()
    link.symlink_to(link.name)
    with pytest.raises(RegistryError, match=r"clip_scores/.* cannot be read"):
        champion.promote(layout, "lstm_cbam", params, score_again=must_not_be_called)
    forced = champion.promote(layout, "lstm_cbam", params, force=True, score_again=fail)
    assert forced["aliases"] == {"champion": "2", "previous": "1"}
