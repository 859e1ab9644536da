"""GPUs of stages that run at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from flows.gpus import VISIBLE_VARIABLE, GpuShares, gpus_of
from pipeline.params import load_params

ROOT = Path(__file__).resolve().parents[2]


def test_stages_that_run_at_once_get_different_gpus() -> None:
    shares = GpuShares(["3", "5"])
    with shares.one() as first, shares.one() as second, shares.one() as third:
        assert [first, second, third] == [{VISIBLE_VARIABLE: gpu} for gpu in ("3", "5", "3")]
    with shares.one() as again:
        assert again == {VISIBLE_VARIABLE: "3"}  # all were given back


@pytest.mark.parametrize("gpus", [[], ["0"]])
def test_a_single_gpu_is_not_named(gpus: list[str]) -> None:
    with GpuShares(gpus).one() as variables:
        assert variables == {}


def test_gpus_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = load_params(ROOT / "params.yaml").runtime
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv(VISIBLE_VARIABLE, raising=False)
    assert gpus_of(runtime) == ["0", "1"]
    monkeypatch.setenv(VISIBLE_VARIABLE, "4, GPU-7")
    assert gpus_of(runtime) == ["4", "GPU-7"]
    assert gpus_of(runtime.model_copy(update={"device": "cpu"})) == []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpus_of(runtime) == []
