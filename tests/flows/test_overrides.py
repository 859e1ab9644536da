"""Values of params.yaml that a run changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.overrides import change_params
from pipeline.params import ParamsError, load_params

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def test_values_are_replaced_and_comments_stay(checkout: Path) -> None:
    path = checkout / "params.yaml"
    before = path.read_text()
    old = load_params(path).train_gan.num_steps
    changes = change_params(checkout, {"train_gan.num_steps": old + 1, "runtime.device": "cpu"})
    assert changes == [f"train_gan.num_steps: {old} -> {old + 1}", "runtime.device: auto -> cpu"]
    assert load_params(path).train_gan.num_steps == old + 1
    assert path.read_text().count("#") == before.count("#")
    assert change_params(checkout, {"runtime.device": "cpu"}) == []


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"train_gan.num_step": 3}, "params.yaml has no train_gan.num_step"),
        ({"train_gan.num_steps": "many"}, "train_gan.num_steps"),
        ({"runtime.device": "tpu"}, "runtime.device"),
    ],
)
def test_a_value_that_a_stage_would_reject_leaves_the_file_unchanged(
    checkout: Path, overrides: dict[str, str | int], expected: str
) -> None:
    before = (checkout / "params.yaml").read_bytes()
    with pytest.raises(ParamsError, match=expected):
        change_params(checkout, {**overrides})
    assert (checkout / "params.yaml").read_bytes() == before
