"""Several training runs of one variant."""

from __future__ import annotations

from typing import Any

from pipeline.compare.seeds import averaged, grouped, places, repeats_among


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


def test_repeats_stand_behind_what_they_repeat() -> None:
    names, repeats = ["a", "b", "c", "a-2", "c-2", "a-3"], {"a-2": "a", "c-2": "c", "a-3": "a"}
    assert grouped(names, repeats) == ["a", "a-2", "a-3", "b", "c", "c-2"]
    assert places(names, repeats) == {"a": 0, "b": 1, "c": 2, "a-2": 0, "c-2": 2, "a-3": 0}


def test_means_are_over_the_runs_and_say_how_many() -> None:
    figures = {"lse_c": 2.0, "fid": 30.0, "kid": 0.01, "within_one_frame": 1.0, "jitter_ratio": 0.5}
    rows = [
        {"variant": "a", "lse_d": 6.0, **figures},
        {"variant": "a-2", "repeats": "a", "lse_d": 8.0, **figures},
    ]
    row = averaged(rows)["a"]
    assert (row["lse_d"], row["lse_c"], row["num_seeds"]) == (7.0, 2.0, 2)
