"""Saved models and checkpoints on disk."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline.core.errors import UserError
from pipeline.inference.saved_model import load_model, model_sha256, save_model
from pipeline.training.checkpoint import CheckpointStore


def test_a_model_survives_a_round_trip_and_equal_models_have_equal_bytes(tmp_path: Path) -> None:
    state = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(3)}
    for name in ("one", "two"):
        save_model(tmp_path / name, kind="generator", config={"width": 0.5}, state=state, info={"x": 1})
    saved = load_model(tmp_path / "one")
    assert saved.config == {"width": 0.5}
    assert torch.equal(saved.state["a"], state["a"])
    assert model_sha256(tmp_path / "one") == model_sha256(tmp_path / "two")


def test_the_error_of_a_missing_model_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dvc repro"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.json", b"{"),
        ("model.json", b"[]"),
        ("model.json", b'{"kind": "generator"}'),
        ("model.json", b"\xff\xfe"),
        ("weights.safetensors", b""),
        ("weights.safetensors", b"<!DOCTYPE html>"),
    ],
)
def test_the_error_of_a_damaged_model_names_its_folder(tmp_path: Path, name: str, content: bytes) -> None:
    save_model(tmp_path, kind="generator", config={}, state={"a": torch.zeros(1)}, info={})
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=re.escape(f"the model in {tmp_path} is damaged (")):
        load_model(tmp_path)


def test_the_newest_checkpoint_is_loaded(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    assert store.load() is None
    for step in (1, 2, 3):
        store.save({"step": step, "weights": {"w": torch.full((2,), float(step))}})
    state = store.load()
    assert state is not None
    assert state["step"] == 3
    assert torch.equal(state["weights"]["w"], torch.full((2,), 3.0))


def test_the_previous_checkpoint_is_used_if_the_last_is_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = CheckpointStore(tmp_path)
    store.save({"step": 1})
    store.save({"step": 2})
    (tmp_path / "last.pt").write_bytes(b"half a checkpoint")
    state = store.load()
    assert state == {"step": 1}
    assert (tmp_path / "last.damaged").exists()
    assert "step 0" not in caplog.text


def test_two_damaged_checkpoints_are_logged_as_a_new_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("last", "previous"):
        (tmp_path / f"{name}.pt").write_bytes(b"half a checkpoint")
    assert CheckpointStore(tmp_path).load() is None
    assert f"renamed to {tmp_path / 'previous.damaged'}" in caplog.text
    assert f"no readable checkpoint in {tmp_path}; the training starts again from step 0" in caplog.text


@pytest.mark.parametrize("error", [OSError("stale file handle"), MemoryError()])
def test_a_checkpoint_that_cannot_be_read_at_the_moment_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    store = CheckpointStore(tmp_path)
    store.save({"step": 1})

    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(torch, "load", fail)
        store.load()
    assert store.load() == {"step": 1}


SAVES_UNTIL_KILLED = """
import os, resource, signal, sys
from pathlib import Path
import torch
from pipeline.training.checkpoint import CheckpointStore

folder, num_renames, max_bytes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

def count(event, arguments):
    global num_renames
    if event == "os.rename":
        if num_renames == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        num_renames -= 1

sys.addaudithook(count)
store = CheckpointStore(folder)
for step in (1, 2, 3):
    if step == 3 and max_bytes:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes))
    store.save({"step": step, "weights": {"w": torch.full((50_000,), float(step))}})
"""
"""Saves three checkpoints. A signal ends it before its n-th rename, or when the third file reaches a size."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_renames", "max_bytes", "step"),
    [
        (0, 0, None),  # the first checkpoint is still a temporary file
        (1, 0, 1),  # the first is next.pt
        (3, 0, 2),  # the second is next.pt, the first is last.pt
        (4, 0, 2),  # the second is next.pt, the first is previous.pt, last.pt does not exist
        (99, 100_000, 2),  # half of the third is written
    ],
)
def test_a_killed_save_loses_no_complete_checkpoint(
    tmp_path: Path, num_renames: int, max_bytes: int, step: int | None
) -> None:
    ended = subprocess.run([sys.executable, "-c", SAVES_UNTIL_KILLED, tmp_path, str(num_renames), str(max_bytes)])
    assert ended.returncode == -(signal.SIGXFSZ if max_bytes else signal.SIGKILL)
    store = CheckpointStore(tmp_path)
    state = store.load()
    assert (None if state is None else state["step"]) == step
    assert state is None or torch.equal(state["weights"]["w"], torch.full((50_000,), float(state["step"])))
    assert not list(tmp_path.glob("*.damaged"))
    if max_bytes:
        assert [path.stat().st_size for path in tmp_path.glob(".next.*.pt")] == [max_bytes]
    store.save({"step": 9})
    state = store.load()
    assert state == {"step": 9}
