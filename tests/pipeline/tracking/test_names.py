"""Names of parameters and metrics: the same for every variant, and few."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.choices import BOUNDS
from pipeline.params import Params, load_params
from pipeline.tracking.names import curve_metric, run_params, stage_metrics, variant_params


@pytest.fixture(scope="module")
def params(repo_root: Path) -> Params:
    return load_params(repo_root / "params.yaml")


def test_every_variant_and_every_bound_has_the_same_parameters(params: Params) -> None:
    names = {name: set(variant_params(name, params)) for name in (*params.variants, *BOUNDS)}
    assert set(map(frozenset, names.values())) == {frozenset(names["lstm_cbam"])}
    trained = {frozenset(run_params("train_gan", name, params, {})) for name in params.variants}
    assert len(trained) == 1 and {"variant", "use_lstm", "width", "losses.sync.weight", "profile"} <= next(
        iter(trained)
    )


def test_the_parameters_distinguish_the_variants(params: Params) -> None:
    shown = {name: variant_params(name, params) for name in params.variants}
    assert (shown["no_lstm"]["use_lstm"], shown["no_lstm"]["use_cbam"]) == (False, True)
    assert (shown["wav2lip"]["network"], shown["wav2lip"]["use_discriminator"]) == ("wav2lip", False)
    assert (shown["lipgan"]["use_discriminator"], shown["speech2vid"]["use_discriminator"]) == (True, False)
    assert len({repr(sorted(found.items())) for found in shown.values()}) == len(shown)


def test_a_repeat_has_the_name_of_its_original_and_its_own_seed(params: Params) -> None:
    again = params.variants["lipgan"].model_copy(update={"seed": 5})
    more = params.model_copy(update={"variants": {**params.variants, "lipgan-2": again}})
    named = variant_params("lipgan-2", more)
    assert (named["variant"], named["seed"]) == ("lipgan", 5)


def test_another_stage_logs_its_section_without_its_name(params: Params) -> None:
    logged = run_params("train_syncnet", None, params, {"seed": 3, "train_syncnet": {"width": 0.5, "keep": "best"}})
    assert logged == {"profile": params.profile, "source": "demo", "seed": 3, "width": 0.5, "keep": "best"}


@pytest.mark.parametrize(
    ("scalar", "metric"),
    [
        ("l1", "train/l1"),
        ("val_sync_of_real", "val/sync_of_real"),
        ("learning_rate", "schedule/learning_rate"),
        ("sync_weight", "schedule/sync_weight"),
    ],
)
def test_a_scalar_of_a_curve_is_in_a_group(scalar: str, metric: str) -> None:
    assert curve_metric(scalar) == metric


def test_the_metrics_of_a_stage_are_its_main_numbers() -> None:
    scores = {"lse_d": 7.0, "fid": 12, "variant": "x", "offset_histogram": {"0": 4}, "protocol": {"seed": 1}}
    assert stage_metrics("evaluate", scores) == {"test/lse_d": 7.0, "test/fid": 12.0}
    assert stage_metrics("evaluate", scores | {"fitness": {"is_fit": False}}) == {"test/fid": 12.0}
    trained = {"val_l1": 0.2, "val_temporal": 0.1, "test_pairwise_accuracy": 0.9, "seconds": 3, "precision": "fp32"}
    assert stage_metrics("train_syncnet", trained) == {
        "train/seconds": 3.0,
        "val/kept_l1": 0.2,
        "test/pairwise_accuracy": 0.9,
    }
    assert stage_metrics("download", {"num_clips": 4, "is_new": True}) == {"data/num_clips": 4.0}
    assert stage_metrics("compare", {"lstm_cbam": {"lse_d": 7.0}}) == {}
