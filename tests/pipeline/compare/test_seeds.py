"""Several trainings of one variant."""

from __future__ import annotations

from typing import Any

from pipeline.compare.seeds import averaged, repeats_among


def variants() -> dict[str, dict[str, Any]]:
    whole: dict[str, Any] = {"network": "wav2lip", "use_lstm": True, "use_cbam": True, "seed": None}
    return {"lstm_cbam": whole, "no_lstm": whole | {"use_lstm": False}, "lipgan": {"network": "lipgan", "seed": None}}


def test_a_copy_from_another_seed_is_a_repeat_of_the_first() -> None:
    found = variants()
    assert repeats_among(found) == {}
    found |= {f"lstm_cbam-{seed}": found["lstm_cbam"] | {"seed": seed} for seed in (2, 3)}
    found["lipgan-2"] = found["lipgan"] | {"seed": 2}
    assert repeats_among(found) == {"lstm_cbam-2": "lstm_cbam", "lstm_cbam-3": "lstm_cbam", "lipgan-2": "lipgan"}


def test_means_have_the_widest_interval_of_their_runs() -> None:
    figures = {
        "lse_c": 2.0,
        "fid": 30.0,
        "kid": 0.01,
        "within_one_frame": 1.0,
        "jitter_ratio": 0.5,
        "lse_c_ci": [1.0, 3.0],
    }
    rows = [
        {"variant": "a", "lse_d": 6.0, "lse_d_ci": [5.0, 7.0], **figures},
        {"variant": "a-2", "repeats": "a", "lse_d": 8.0, "lse_d_ci": [7.5, 8.5], **figures},
    ]
    row = averaged(rows)["a"]
    assert (row["lse_d"], row["lse_d_ci"], row["num_seeds"]) == (7.0, [5.0, 8.5], 2)
