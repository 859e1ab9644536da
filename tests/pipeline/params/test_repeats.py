"""Variants that repeat another one."""

from __future__ import annotations

from typing import Any

from pipeline.params.repeats import repeats_among


def variants() -> dict[str, dict[str, Any]]:
    whole: dict[str, Any] = {"network": "wav2lip", "use_lstm": True, "use_cbam": True, "seed": None}
    return {"lstm_cbam": whole, "no_lstm": whole | {"use_lstm": False}, "lipgan": {"network": "lipgan", "seed": None}}


def test_a_copy_from_another_seed_is_a_repeat_of_the_first() -> None:
    found = variants()
    assert repeats_among(found) == {}
    found |= {f"lstm_cbam-{seed}": found["lstm_cbam"] | {"seed": seed} for seed in (2, 3)}
    found["lipgan-2"] = found["lipgan"] | {"seed": 2}
    assert repeats_among(found) == {"lstm_cbam-2": "lstm_cbam", "lstm_cbam-3": "lstm_cbam", "lipgan-2": "lipgan"}


def test_the_one_without_a_seed_is_repeated_wherever_it_stands() -> None:
    whole = variants()["lstm_cbam"]
    listed = {"lstm_cbam-3": whole | {"seed": 3}, "lstm_cbam": whole, "lstm_cbam-2": whole | {"seed": 2}}
    assert repeats_among(listed) == {"lstm_cbam-3": "lstm_cbam", "lstm_cbam-2": "lstm_cbam"}
    del listed["lstm_cbam"]
    assert repeats_among(listed) == {"lstm_cbam-2": "lstm_cbam-3"}
