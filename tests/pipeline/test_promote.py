"""The registry on a real SQLite store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from pipeline import promote
from pipeline.checkpoint import model_sha256
from pipeline.layout import Layout
from pipeline.params import Params, load_params


@pytest.fixture
def params(repo_root: Path) -> Params:
    content = load_params(repo_root / "params.yaml")
    rules = {"variant": "lstm_cbam", "max_fid_increase": 5.0, "min_lse_d_gain": 0.0}
    return content.model_copy(update={"promote": content.promote.model_copy(update=rules)})


def write_model(layout: Layout, lse_d: float, fid: float, *, weight: float, evaluator: str = "e") -> None:
    folder = promote.model_folder(layout, "lstm_cbam")
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"w": np.array([weight])}, folder / "weights.safetensors")
    (folder / "model.json").write_text(json.dumps({"kind": "generator", "config": {}, "info": {}}))
    metrics = {
        "lse_d": lse_d,
        "lse_c": 5.0,
        "fid": fid,
        "generator_sha256": model_sha256(folder),
        "protocol": {"id": "unseen", "evaluator_sha256": evaluator, "sha256": f"digest-{evaluator}"},
    }
    path = layout.metrics_path("evaluate", "lstm_cbam")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(metrics))


def test_missing_outputs_name_the_command_that_makes_them(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="dvc repro evaluate@lstm_cbam"):
        promote.read_scores(Layout(tmp_path), "lstm_cbam")


@pytest.mark.slow
def test_the_life_of_a_champion(tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    layout = Layout(tmp_path)

    def ask(*, force: bool = False) -> dict[str, Any]:
        decision = promote.promote(layout, "lstm_cbam", params, force=force)
        written = layout.stage_dir("promote") / "decision.json"
        assert json.loads(written.read_text()) == json.loads(json.dumps(decision))
        return decision

    write_model(layout, 8.0, 20.0, weight=1.0)
    first = ask()
    assert (first["outcome"], first["aliases"]) == ("promoted", {"champion": "1"})
    assert first["champion"] is None
    again = ask()
    assert (again["outcome"], again["is_registry_changed"]) == ("already_champion", False)

    write_model(layout, 7.5, 31.0, weight=2.0)  # FID too much worse
    worse = ask()
    assert (worse["outcome"], worse["aliases"]) == ("refused", {"champion": "1", "challenger": "2"})
    assert [r["rule"] for r in worse["rules"] if not r["passed"]] == ["max_fid_increase"]
    assert (worse["challenger"]["fid"], worse["champion"]["fid"]) == (31.0, 20.0)
    assert ask()["is_registry_changed"] is False

    write_model(layout, 7.5, 21.0, weight=3.0)
    better = ask()
    assert (better["outcome"], better["aliases"]) == ("promoted", {"champion": "3", "previous": "1"})

    write_model(layout, 7.0, 18.0, weight=4.0, evaluator="retrained")
    other = ask()
    assert (other["outcome"], other["rules"]) == ("not_comparable", [])
    assert other["aliases"] == {"champion": "3", "previous": "1", "challenger": "4"}

    write_model(layout, 7.25, 21.0, weight=3.0, evaluator="retrained")  # the champion, scored again
    assert ask()["outcome"] == "already_champion"
    write_model(layout, 7.0, 18.0, weight=4.0, evaluator="retrained")
    assert ask()["aliases"] == {"champion": "4", "previous": "3"}

    write_model(layout, 9.0, 18.0, weight=5.0, evaluator="retrained")
    forced = ask(force=True)
    assert (forced["outcome"], forced["forced"]) == ("promoted", True)
    assert "min_lse_d_gain broken" in forced["reason"]

    _check_version_is_loadable(layout)


def _check_version_is_loadable(layout: Layout) -> None:
    import mlflow

    from pipeline.tracking import open_client

    client = open_client(layout)
    version = client.get_model_version_by_alias(promote.REGISTERED_NAME, "champion")
    folder = Path(
        mlflow.artifacts.download_artifacts(client.get_model_version_download_uri(version.name, version.version))
    )
    assert (folder / "weights.safetensors").read_bytes() == (
        promote.model_folder(layout, "lstm_cbam") / "weights.safetensors"
    ).read_bytes()
    assert sorted(p.name for p in folder.iterdir()) == ["model.json", "weights.safetensors"]
    assert {"lse_d", "lse_c", "fid", "evaluation_digest", "model_sha256"} <= set(version.tags)
