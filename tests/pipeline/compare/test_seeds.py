"""Several training runs of one variant."""

from __future__ import annotations

from pipeline.compare.seeds import averaged, grouped, places


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
