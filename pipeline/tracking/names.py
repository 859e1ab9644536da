"""Names of MLflow parameters and metrics. All variants share them, so that runs can be compared.

Metrics are grouped, as MLflow shows them: ``train/`` and ``val/`` (curves and results of a training), ``schedule/``
(learning rate and loss weights), ``test/`` (scores on the held-out clips), ``data/`` (numbers of the stages before the
trainings).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.metrics import without_evaluator
from pipeline.params import LipGanVariant, Params, VariantParams, Wav2LipVariant
from pipeline.params.repeats import repeats_among

TRAINING_STAGES = ("train_syncnet", "train_evaluator", "train_gan")
_DATA_STAGES = ("download", "preprocess", "sync_filter")
TEST_METRICS = (
    "lse_d",
    "lse_c",
    "within_one_frame",
    "offset_median_frames",
    "fid",
    "kid",
    "jitter_ratio",
    "reconstruction_ssim",
    "reconstruction_psnr_db",
    "reconstruction_warping_error",
    "silence_motion",
    "num_clips",
    "num_failed",
    "seconds",
)
"""Keys of an evaluation's ``metrics.json`` that are metrics of the run. The others are in its artifact ``metrics``."""
_TRAINING_METRICS = ("seconds", "num_parameters", "kept_step", "data_wait_share")
_KEPT_METRICS = ("loss", "l1", "lower_l1", "sync", "pairwise_accuracy")
"""Validation scalars of the kept weights."""
_SCHEDULE = ("learning_rate",)
_NO_NETWORK = {"network": "none", "use_lstm": False, "use_cbam": False, "use_discriminator": False}


def curve_metric(name: str) -> str:
    """The metric of a scalar in a training curve: ``l1`` -> ``train/l1``, ``val_l1`` -> ``val/l1``."""
    if name.startswith("val_"):
        return f"val/{name.removeprefix('val_')}"
    if name in _SCHEDULE or name.endswith("_weight"):
        return f"schedule/{name}"
    return f"train/{name}"


def stage_metrics(stage: str, metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a run from a stage's ``metrics.json``, to six digits, which fit a column of MLflow's table.

    Metrics of an evaluator that cannot judge the clips are left out, and so is all that is not a number. The stage
    ``compare`` has none: its rows are runs of their own.
    """
    if metrics.get("fitness", {}).get("is_fit") is False:
        metrics = without_evaluator(metrics)
    if stage == "compare":
        return {}
    if stage == "evaluate":
        named: dict[str, Any] = {f"test/{key}": metrics.get(key) for key in TEST_METRICS}
    elif stage in TRAINING_STAGES:
        named = {f"train/{key}": metrics.get(key) for key in _TRAINING_METRICS}
        named |= {f"val/kept_{key}": metrics.get(f"val_{key}") for key in _KEPT_METRICS}
        named |= {f"test/{key.removeprefix('test_')}": metrics[key] for key in metrics if key.startswith("test_")}
    else:
        group = "data" if stage in _DATA_STAGES else stage
        named = {f"{group}/{name}": value for name, value in flatten(metrics)}
    return {name: float(f"{value:.6g}") for name, value in named.items() if is_number(value)}


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def run_params(stage: str, variant: str | None, params: Params, stage_params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a stage's run, by name.

    The settings of a training have no prefix (``num_steps``, ``losses.sync.weight``), and those of an evaluation have
    the prefix ``evaluate.``. Training and evaluation of a variant share a run. ``stage_params``: the parameters that
    ``dvc.yaml`` lists for the stage; another stage logs them without the name of its own section.
    """
    common = {"profile": params.profile, "source": params.dataset.source}
    if variant is None:
        own = {key: value for key, value in stage_params.items() if key != stage}
        return {**common, **dict(flatten(own)), **dict(flatten(_mapping(stage_params.get(stage))))}
    plain = params.model_dump(mode="json")
    named = variant_params(variant, params)
    if variant in params.variants:
        named |= dict(flatten(plain["train_gan"]))
    if stage == "evaluate":
        named |= dict(flatten({"evaluate": {**plain["evaluate"], "seed": params.seed}}))
    return {**common, **named}


def variant_params(name: str, params: Params) -> dict[str, Any]:
    """What distinguishes the variants: the same names for each of them, and for rows without a network.

    ``variant`` of a repeat is the name of the variant that it repeats, so that runs can be grouped over seeds.
    ``use_discriminator``: whether an adversary is trained, which is always so for LipGAN.
    """
    declared = params.variants.get(name)
    seed = params.seed if declared is None or declared.seed is None else declared.seed
    plain = {key: variant.model_dump() for key, variant in params.variants.items()}
    return {"variant": repeats_among(plain).get(name, name), **_parts(declared), "seed": seed}


def _parts(variant: VariantParams | None) -> dict[str, Any]:
    if variant is None:
        return {**_NO_NETWORK, "use_further_losses": False, "contrastive_weight": 0.0}
    if isinstance(variant, Wav2LipVariant):
        return {**variant.model_dump(exclude={"seed"}), "contrastive_weight": 0.0}
    is_lipgan = isinstance(variant, LipGanVariant)
    return {
        **_NO_NETWORK,
        "network": variant.network,
        "use_discriminator": is_lipgan,
        "use_further_losses": False,
        "contrastive_weight": variant.contrastive_weight if isinstance(variant, LipGanVariant) else 0.0,
    }


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Name and value of each leaf of nested mappings. The names of a path are joined with dots."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
