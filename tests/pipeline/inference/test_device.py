from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.core.errors import UserError
from pipeline.inference import device


@pytest.fixture(autouse=True)
def no_cached_answer() -> None:
    device._cpu_runs_lstm_in_bf16.cache_clear()


def test_bf16_is_refused_if_the_processor_runs_no_lstm_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN's own error names neither the setting nor the processor."""

    def fail(*args: object) -> None:
        raise RuntimeError("could not create a primitive descriptor for the LSTM forward propagation primitive")

    monkeypatch.setattr(nn.LSTM, "forward", fail)
    with pytest.raises(UserError, match=r"precision is bf16, but torch cannot .*; allowed here: auto, fp32"):
        device.uses_bf16("bf16", torch.device("cpu"))


def test_bf16_is_used_if_the_processor_runs_an_lstm_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.LSTM, "forward", lambda self, x: x)
    assert device.uses_bf16("bf16", torch.device("cpu"))


def test_fp32_uses_no_bf16_on_any_device() -> None:
    assert not device.uses_bf16("fp32", torch.device("cpu"))
    assert not device.uses_bf16("fp32", torch.device("cuda"))


def test_a_missing_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="set to cuda, but torch finds no CUDA device"):
        device.select_device("cuda")
    assert device.select_device("auto") == torch.device("cpu")
