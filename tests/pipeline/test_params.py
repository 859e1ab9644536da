"""params.yaml: every mistake is named with its key and what is allowed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.params import ParamsError, load_params, parse_params


@pytest.fixture
def content(repo_root: Path) -> dict[str, Any]:
    return copy.deepcopy(yaml.safe_load((repo_root / "params.yaml").read_text()))


def test_the_committed_file_is_valid(repo_root: Path) -> None:
    assert set(load_params(repo_root / "params.yaml").variants) == {"lstm_cbam", "no_lstm", "no_cbam", "no_lstm_cbam"}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("train_gan.num_step", 3, "train_gan.num_step: unknown key; did you mean num_steps?"),
        ("trian_gan", {}, "trian_gan: unknown key; did you mean train_gan?"),
        ("variants.no_lstm.use_lstmm", True, "variants.no_lstm.use_lstmm: unknown key; did you mean use_lstm?"),
        ("dataset.grid.rot", "x", "dataset.grid.rot: unknown key; did you mean root?"),
        ("dataset.source", "youtube", "dataset.source: Input should be 'demo', 'grid', 'lrs2' or 'folder'"),
        ("train_gan.ema_decay", 1.5, "given 1.5"),
        ("promote.variant", "best", "promote.variant is 'best'; variants has lstm_cbam"),
        ("train_gan.betas", [0.5, 1.0], "train_gan.betas.1"),
        ("promote.min_lse_d_gain", float("nan"), "promote.min_lse_d_gain"),
        ("seed", -1, "given -1"),
        ("variants", {"real": {"use_lstm": True, "use_cbam": True}}, "'real' cannot name a variant"),
        ("variants", {"a.b": {"use_lstm": True, "use_cbam": True}}, "'a.b' cannot name a variant"),
        ("dataset.demo.num_test_speakers", 12, "leave no training speaker"),
        ("weights.syncnet_v2.urls", ["/mnt/syncnet_v2.model"], "weights.syncnet_v2.urls.0: must be an http or https"),
        ("weights.syncnet_v2.urls", [], "weights.syncnet_v2.urls"),
        ("weights.syncnet_v2.sha256", "961e", "weights.syncnet_v2.sha256"),
    ],
)
def test_a_bad_value_is_named(content: dict[str, Any], path: str, value: Any, expected: str) -> None:
    *parents, key = path.split(".")
    section = content
    for parent in parents:
        section = section[parent]
    section[key] = value
    with pytest.raises(ParamsError) as caught:
        parse_params(content)
    assert expected in str(caught.value)


def test_a_missing_key_is_named(content: dict[str, Any]) -> None:
    del content["evaluate"]["fid"]["max_frames"]
    with pytest.raises(ParamsError, match=r"evaluate\.fid\.max_frames: missing"):
        parse_params(content)


def test_every_mistake_is_reported_at_once(content: dict[str, Any]) -> None:
    content["seed"] = "many"
    content["compare"]["confidence"] = 2
    with pytest.raises(ParamsError) as caught:
        parse_params(content)
    assert "seed" in str(caught.value)
    assert "compare.confidence" in str(caught.value)


def test_a_file_that_is_not_there_says_how_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="git restore"):
        load_params(tmp_path / "params.yaml")
