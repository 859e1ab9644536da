"""Models and training states on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline.checkpoint import CheckpointStore, load_model, model_sha256, save_model


def test_a_model_comes_back_and_equal_models_have_equal_bytes(tmp_path: Path) -> None:
    state = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(3)}
    for name in ("one", "two"):
        save_model(tmp_path / name, kind="generator", config={"width": 0.5}, state=state, info={"x": 1})
    saved = load_model(tmp_path / "one")
    assert saved.config == {"width": 0.5}
    assert torch.equal(saved.state["a"], state["a"])
    assert model_sha256(tmp_path / "one") == model_sha256(tmp_path / "two")


def test_a_missing_model_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="dvc repro"):
        load_model(tmp_path)


def test_the_newest_state_is_loaded(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    assert store.load() is None
    for step in (1, 2, 3):
        store.save({"step": step, "weights": {"w": torch.full((2,), float(step))}})
    state = store.load()
    assert state is not None
    assert state["step"] == 3
    assert torch.equal(state["weights"]["w"], torch.full((2,), 3.0))


def test_a_damaged_state_falls_back_to_the_one_before(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    store.save({"step": 1})
    store.save({"step": 2})
    (tmp_path / "last.pt").write_bytes(b"half a checkpoint")
    state = store.load()
    assert state == {"step": 1}
    assert (tmp_path / "last.damaged").exists()
