"""Every network trains as it did when ``curves.txt`` was computed: a refactoring leaves these numbers alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.clips import write_clips
from tests.golden.curves import CURVES_PATH, differences, read_curves, stable, write_curves
from tests.golden.networks import NETWORKS, NUM_STEPS, compute_curve

GOLDEN = read_curves(CURVES_PATH)
NUM_COMPARED = 20
"""Steps that the tests compute: two validations, and every loss is on from step 3. `make golden` compares all steps."""


@pytest.fixture(scope="module")
def clips_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden") / "clips"
    write_clips(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("network", list(NETWORKS))
def test_a_network_trains_as_before(network: str, clips_dir: Path, tmp_path: Path) -> None:
    golden = [row for row in GOLDEN[network] if row["step"] <= NUM_COMPARED]
    curve = compute_curve(network, clips_dir, tmp_path, num_steps=NUM_COMPARED)
    changes = list(differences(network, golden, stable(curve)))
    shown = "\n".join(str(change) for change in changes[:10])
    assert not changes, f"{len(changes)} numbers differ. If that is meant: make golden.\n{shown}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "constant", "value", "term"),
    [
        ("lstm_cbam", "models.losses.MOUTH_SPREAD", (0.1, 0.16), "mouth"),
        ("expert_bce", "models.losses.PROBABILITY_EPS", 2e-3, "loss"),
        ("evaluator", "pipeline.training.evaluator.MAX_SOFTNESS", 1 / 60, "loss"),
    ],
)
def test_a_changed_constant_shows(
    network: str,
    constant: str,
    value: object,
    term: str,
    clips_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(constant, value)
    golden = [row for row in GOLDEN[network] if row["step"] <= 3]
    changes = differences(network, golden, stable(compute_curve(network, clips_dir, tmp_path, num_steps=3)))
    assert term in {change.name for change in changes if change.old is not None}


def test_the_file_has_every_network_and_step() -> None:
    assert list(GOLDEN) == list(NETWORKS)
    for curve in GOLDEN.values():
        assert [row["step"] for row in curve] == list(range(1, NUM_STEPS + 1))


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "curves.txt"
    write_curves(path, GOLDEN)
    assert read_curves(path) == GOLDEN
