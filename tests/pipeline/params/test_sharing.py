"""Which outputs `dvc push` may send, by the source of the clips."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.core.errors import UserError
from pipeline.params import Params, load_params
from pipeline.params.sharing import (
    listed_source,
    marked_outputs,
    may_share,
    require_sharing_allowed,
    set_sharing,
)

EVERYTHING, NOTHING = {"clips": True, "model": True}, {"clips": False, "model": False}


@pytest.fixture
def text(repo_root: Path) -> str:
    return (repo_root / "dvc.yaml").read_text()


@pytest.fixture
def params(repo_root: Path) -> Params:
    return load_params(repo_root / "params.yaml")


def _from(params: Params, source: str) -> Params:
    return params.model_copy(update={"dataset": params.dataset.model_copy(update={"source": source})})


def test_the_committed_file_shares_what_the_committed_params_allow(text: str, params: Params) -> None:
    assert set_sharing(text, may_share(params, [params.dataset.source])) == text


def test_only_the_flags_change_and_change_back(text: str) -> None:
    closed = set_sharing(text, NOTHING)
    assert not any(out.is_pushed for out in marked_outputs(closed))
    assert closed.replace("push: false", "push: true") == text.replace("push: false", "push: true")
    assert set_sharing(closed, EVERYTHING) == set_sharing(text, EVERYTHING)
    models = {out.path for out in marked_outputs(set_sharing(text, NOTHING | {"model": True})) if out.is_pushed}
    assert "artifacts/train_syncnet/model" in models and "data/shards" not in models


def test_all_sources_must_be_allowed(params: Params) -> None:
    assert may_share(params, ["demo"]) == EVERYTHING
    assert may_share(params, ["demo", "lrs2"]) == NOTHING


@pytest.mark.parametrize("source", ["lrs2", "folder"])
def test_a_stage_refuses_a_file_that_shares_an_excluded_source(
    source: str, text: str, params: Params, tmp_path: Path
) -> None:
    path = tmp_path / "dvc.yaml"
    path.write_text(set_sharing(text, EVERYTHING))
    with pytest.raises(UserError, match=rf"data/manifest\.parquet.*source {source} .*python -m pipeline share"):
        require_sharing_allowed(path, _from(params, source))
    path.write_text(set_sharing(text, NOTHING))
    require_sharing_allowed(path, _from(params, source))
    require_sharing_allowed(path, params)  # less than allowed


@pytest.mark.parametrize("flags", ["{type: clips}", "{push: true, type: clips}"])
def test_flags_in_another_form_are_not_left_as_they_are(flags: str, text: str) -> None:
    odd = text.replace("data/shards: {type: clips, push: true}", f"data/shards: {flags}")
    with pytest.raises(UserError, match="data/shards must have the form"):
        set_sharing(odd, NOTHING)


def test_the_lock_names_the_source_of_the_present_outputs(tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    assert listed_source(path) is None
    path.write_text("schema: '2.0'\nstages:\n  code:\n    cmd: x\n")
    assert listed_source(path) is None
    path.write_text("stages:\n  download:\n    params:\n      params.yaml:\n        dataset:\n          source: lrs2\n")
    assert listed_source(path) == "lrs2"


def test_every_output_with_clips_or_weights_is_marked(text: str) -> None:
    """All other files hold numbers, charts of numbers, or code digests."""
    plain = (".json", ".csv", ".md", ".txt", "curve.png", "artifacts/compare/plots", "artifacts/code")
    marked = {out.path: out.type for out in marked_outputs(text)}
    for stage in yaml.safe_load(text)["stages"].values():
        for out in stage.get("do", stage)["outs"]:
            path = next(iter(out)) if isinstance(out, dict) else out
            expected = None if path.endswith(plain) else ("model" if path.endswith("/model") else "clips")
            assert marked.get(path) == expected, path
