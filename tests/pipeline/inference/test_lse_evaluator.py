"""Selection of the evaluator's weights, and errors of wrong files."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from models.lse_syncnet import LseSyncNet
from pipeline.core.errors import UserError
from pipeline.inference import saved_model
from pipeline.inference.lse_evaluator import judge_dir, load_evaluator, load_judge, load_official, load_trained

CPU = torch.device("cpu")
JUDGE_SHA256 = "77eb32e42a10173d059faf7b235230b905523da66fd0d258a37daccadf89c661"
"""A published judge never changes: results name it."""


@pytest.fixture(scope="module")
def trained_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    state = LseSyncNet(0.03).state_dict()
    saved_model.save_model(folder, kind="lse_syncnet", config={"width": 0.03}, state=state, info={})
    return folder


def test_the_trained_network_is_used_and_named(trained_dir: Path) -> None:
    evaluator = load_trained(trained_dir, CPU)
    assert (evaluator.name, evaluator.width) == ("trained", 0.03)
    assert evaluator.sha256 == saved_model.model_sha256(trained_dir)
    lip, audio = evaluator(np.zeros((8, 160, 160, 3), np.uint8), np.zeros(8 * 640, np.int16))
    assert lip.shape == audio.shape == (3, 1024)


def test_official_weights_are_used_where_given(tmp_path: Path) -> None:
    path = tmp_path / "syncnet_v2.model"
    network = LseSyncNet(1.0)
    torch.save(network.state_dict(), path)
    evaluator = load_official(path, CPU)
    assert (evaluator.name, evaluator.width) == ("official", 1.0)
    for name, tensor in network.state_dict().items():
        assert torch.equal(evaluator.network.state_dict()[name], tensor)


def test_a_judge_is_part_of_the_package() -> None:
    evaluator = load_judge("judge-1", CPU)
    assert evaluator.name == "judge-1"
    assert evaluator.sha256 == JUDGE_SHA256
    assert evaluator.width == 0.3125
    files = {path.name: path.stat().st_size for path in judge_dir("judge-1").iterdir()}
    assert set(files) == {"weights.safetensors", "model.json", "curve.csv"}
    assert sum(files.values()) <= 8_000_000


def test_the_setting_selects_the_kind_of_evaluator(trained_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "syncnet_v2.model"
    torch.save(LseSyncNet(1.0).state_dict(), path)
    assert load_evaluator(None, trained_dir, CPU).name == "trained"
    assert load_evaluator("judge-1", tmp_path / "absent", CPU).name == "judge-1"
    assert load_evaluator(path, tmp_path / "absent", CPU).name == "official"


def test_a_judge_in_the_folder_of_the_trained_evaluator_is_refused() -> None:
    with pytest.raises(UserError, match=r"holds a judge; `dvc repro train_evaluator`"):
        load_evaluator(None, judge_dir("judge-1"), CPU)


def test_weights_of_another_network_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "other.model"
    torch.save({"conv.weight": torch.zeros(1)}, path)
    with pytest.raises(
        UserError, match=r"evaluate\.lse\.weights.*it holds tensors that do not fit the evaluator.*Missing key"
    ):
        load_official(path, CPU)
    torch.save([torch.zeros(1)], path)
    with pytest.raises(UserError, match="holds list, not a state dict"):
        load_official(path, CPU)


@pytest.mark.parametrize("content", [pickle.dumps(Path("/"), protocol=2), b"<html>", b"RIFF\0\0", b""])
def test_nothing_but_tensors_is_unpickled(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "evil.model"
    path.write_bytes(content)
    with pytest.raises(UserError, match="it is not a file of tensors"):
        load_official(path, CPU)


def test_the_error_of_missing_weights_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"weights fetch syncnet_v2.*evaluate\.lse\.weights"):
        load_official(tmp_path / "absent.model", CPU)
    with pytest.raises(UserError, match="dvc repro"):
        load_trained(tmp_path, CPU)
