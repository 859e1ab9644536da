"""Profiles: the values per scale of the experiment that ``python -m pipeline profile NAME`` writes to ``params.yaml``.

A profile sets the source, sizes, widths, steps, learning rates, loss weights and evaluation settings. It does not
change paths, the seed, variants, the rules of promotion and comparison, or the section ``runtime``. Values are replaced
in place, so comments and all other bytes of the file stay unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from pipeline.core.choices import JUDGE_NAMES, Source
from pipeline.params import ParamsError, parse_params
from pipeline.params.edit import Change, replace_values

# `make repro` takes about 19 minutes on 2 CPU cores with bfloat16 after installation.
DEMO: dict[str, Any] = {
    "profile": "demo",
    "dataset.source": "demo",
    "preprocess.clips_per_shard": 12,
    "preprocess.detector_max_px": 160,
    "preprocess.crop": "box",
    "train_syncnet.objective": "infonce",
    "train_syncnet.augment": "light",
    "train_syncnet.dropout": 0.0,
    "train_syncnet.width": 0.25,
    "train_syncnet.embedding_dim": 256,
    "train_syncnet.num_steps": 300,
    "train_syncnet.clips_per_batch": 24,
    "train_syncnet.windows_per_clip": 4,
    "train_syncnet.learning_rate": 0.0005,
    "train_syncnet.warmup_steps": 20,
    "train_syncnet.num_validation_pairs": 1024,
    "train_syncnet.validate_every": 100,
    "train_syncnet.checkpoint_every": 50,
    "train_evaluator.augment": "light",
    "train_evaluator.width": 0.125,
    "train_evaluator.num_steps": 250,
    "train_evaluator.clips_per_batch": 16,
    "train_evaluator.windows_per_clip": 4,
    "train_evaluator.learning_rate": 0.0005,
    "train_evaluator.warmup_steps": 20,
    "train_evaluator.num_validation_pairs": 512,
    "train_evaluator.validate_every": 125,
    "train_evaluator.checkpoint_every": 50,
    "train_gan.width": 0.25,
    "train_gan.discriminator_width": 0.125,
    "train_gan.num_steps": 300,
    "train_gan.predicts": "change",
    "train_gan.clips_per_batch": 4,
    "train_gan.learning_rate": 0.004,
    "train_gan.discriminator_learning_rate": 0.0001,
    "train_gan.warmup_steps": 20,
    "train_gan.augment": False,
    "train_gan.audio_start": "expert",
    "train_gan.betas.0": 0.9,
    "train_gan.sync_objective": "infonce",
    "train_gan.sync_negatives": 7,
    "train_gan.sync_temperature": 0.5,
    "train_gan.losses.sync.weight": 0.03,
    "train_gan.losses.sync.start_step": 60,
    "train_gan.losses.sync.ramp_steps": 60,
    "train_gan.losses.adversarial.weight": 0.005,
    "train_gan.losses.adversarial.start_step": 250,
    "train_gan.losses.adversarial.ramp_steps": 30,
    "train_gan.losses.perceptual.weight": 0.0,
    "train_gan.losses.temporal.weight": 0.0,
    "train_gan.losses.mouth.weight": 0.5,
    "train_gan.losses.feature_matching.weight": 0.0,
    "train_gan.losses.feature_matching.start_step": 250,
    "train_gan.min_expert_accuracy": 0.6,
    "train_gan.validate_every": 150,
    "train_gan.num_validation_windows": 64,
    "train_gan.checkpoint_every": 50,
    "evaluate.lse.weights": "judge-1",
    "evaluate.reference": "first",
    "evaluate.fid.every_n_frames": 5,
    "evaluate.fid.max_frames": 200,
    "evaluate.num_probes": 6,
}

# All stages took about 80 minutes on 2 CPU cores, two stages at a time, for 726 GRID clips.
GRID: dict[str, Any] = {
    **DEMO,
    "profile": "grid",
    "dataset.source": "grid",
    "preprocess.clips_per_shard": 32,
    "preprocess.crop": "square",
    "train_syncnet.num_steps": 1000,
    "train_syncnet.warmup_steps": 40,
    "train_syncnet.num_validation_pairs": 2048,
    "train_syncnet.validate_every": 200,
    "train_evaluator.width": 0.3125,
    "train_evaluator.num_steps": 700,
    "train_evaluator.clips_per_batch": 24,
    "train_evaluator.warmup_steps": 40,
    "train_evaluator.num_validation_pairs": 2048,
    "train_evaluator.validate_every": 175,
    "train_gan.discriminator_width": 0.25,
    "train_gan.discriminator_learning_rate": 0.0005,
    "train_gan.augment": False,
    "train_gan.num_steps": 2400,
    "train_gan.predicts": "image",
    "train_gan.warmup_steps": 40,
    "train_gan.betas.0": 0.9,
    "train_gan.losses.sync.weight": 0.01,
    "train_gan.losses.sync.start_step": 200,
    "train_gan.losses.sync.ramp_steps": 100,
    "train_gan.losses.adversarial.weight": 0.05,
    "train_gan.losses.adversarial.start_step": 600,
    "train_gan.losses.adversarial.ramp_steps": 100,
    "train_gan.losses.perceptual.weight": 0.05,
    "train_gan.losses.mouth.weight": 0.2,
    "train_gan.losses.feature_matching.weight": 0.1,
    "train_gan.losses.feature_matching.start_step": 600,
    "train_gan.min_expert_accuracy": 0.85,
    "train_gan.validate_every": 600,
    "train_gan.checkpoint_every": 150,
    "evaluate.lse.weights": None,
    "evaluate.fid.max_frames": 1000,
    "evaluate.num_probes": 12,
}

# Like grid, for about as many clips. Train longer with more clips.
FOLDER: dict[str, Any] = {
    **GRID,
    "profile": "folder",
    "dataset.source": "folder",
    "train_syncnet.augment": "strong",
    "train_syncnet.dropout": 0.2,
    "train_gan.augment": True,
}

# Published sizes and Wav2Lip's loss weights. The sync loss is InfoNCE, as in the other profiles; `sync_objective: bce`
# is Wav2Lip's. Training takes days on one data-centre GPU and is not practical on a CPU.
LRS2: dict[str, Any] = {
    **GRID,
    "profile": "lrs2",
    "dataset.source": "lrs2",
    "preprocess.clips_per_shard": 256,
    "train_syncnet.augment": "strong",
    "train_syncnet.dropout": 0.2,
    "train_syncnet.width": 1.0,
    "train_syncnet.embedding_dim": 512,
    "train_syncnet.num_steps": 200_000,
    "train_syncnet.clips_per_batch": 64,
    "train_syncnet.learning_rate": 0.0001,
    "train_syncnet.warmup_steps": 1000,
    "train_syncnet.validate_every": 2000,
    "train_syncnet.checkpoint_every": 1000,
    "train_evaluator.width": 1.0,
    "train_evaluator.num_steps": 200_000,
    "train_evaluator.clips_per_batch": 64,
    "train_evaluator.learning_rate": 0.0001,
    "train_evaluator.warmup_steps": 1000,
    "train_evaluator.num_validation_pairs": 2048,
    "train_evaluator.validate_every": 2000,
    "train_evaluator.checkpoint_every": 1000,
    "train_gan.width": 1.0,
    "train_gan.discriminator_width": 1.0,
    "train_gan.discriminator_learning_rate": 0.0001,
    "train_gan.num_steps": 300_000,
    "train_gan.audio_start": "random",
    "train_gan.betas.0": 0.5,
    "train_gan.losses.sync.weight": 0.03,
    "train_gan.clips_per_batch": 16,
    "train_gan.learning_rate": 0.0001,
    "train_gan.warmup_steps": 1000,
    "train_gan.losses.sync.start_step": 50_000,
    "train_gan.losses.sync.ramp_steps": 5000,
    "train_gan.losses.adversarial.weight": 0.07,
    "train_gan.losses.adversarial.start_step": 100_000,
    "train_gan.losses.adversarial.ramp_steps": 5000,
    "train_gan.losses.perceptual.weight": 0.0,
    "train_gan.losses.mouth.weight": 0.0,
    "train_gan.losses.feature_matching.weight": 0.0,
    "train_gan.losses.feature_matching.start_step": 100_000,
    "train_gan.validate_every": 3000,
    "train_gan.num_validation_windows": 512,
    "train_gan.checkpoint_every": 1000,
    "evaluate.reference": "same",
    "evaluate.fid.every_n_frames": 1,
    "evaluate.fid.max_frames": 20_000,
    "evaluate.num_probes": 100,
}

PROFILES: dict[Source, dict[str, Any]] = {"demo": DEMO, "grid": GRID, "lrs2": LRS2, "folder": FOLDER}

_LSE_WEIGHTS = "evaluate.lse.weights"
_CHECK_AND_RUN = "python -m pipeline doctor; then: make repro"

# Contents of the folder `dataset.SOURCE.root`, which the user must set.
_ROOT_HOLDS = {
    "grid": "s1, s2, ...",
    "lrs2": "mvlrs_v1",
    "folder": "your videos",
}


def apply_profile(name: Source, text: str) -> tuple[str, list[Change]]:
    """Replace a profile's values in the text of a ``params.yaml``; return the text and the changes.

    A path of weights in ``evaluate.lse.weights`` is kept. Raises ParamsError for an unknown profile, a text that lacks
    one of the profile's keys, or an invalid result.
    """
    if name not in PROFILES:
        raise ParamsError(f"no profile {name!r}; the profiles are {', '.join(PROFILES)}")
    values = PROFILES[name]
    if _has_weights_file(text):
        values = {key: value for key, value in values.items() if key != _LSE_WEIGHTS}
    text, changes = replace_values(text, values)
    parse_params(yaml.safe_load(text), f"params.yaml with profile {name}")
    return text, changes


def _has_weights_file(text: str) -> bool:
    """Whether ``evaluate.lse.weights`` is a path, not a judge or null. False for a text that lacks the key."""
    try:
        weights = yaml.safe_load(text)["evaluate"]["lse"]["weights"]
    except (yaml.YAMLError, KeyError, TypeError):
        return False  # replace_values reports it
    return weights is not None and weights not in JUDGE_NAMES


def next_step(content: Mapping[str, Any]) -> str:
    """The command to run after a profile was written, preceded by the path to set if it is missing."""
    source = content["dataset"]["source"]
    settings = content["dataset"][source]
    if source in _ROOT_HOLDS and settings["root"] is None and settings.get("url") is None:
        download = f", or dataset.{source}.url to download them" if "url" in settings else ""
        return (
            f"set dataset.{source}.root in params.yaml to the folder that contains {_ROOT_HOLDS[source]}{download}; "
            f"then: {_CHECK_AND_RUN}"
        )
    return _CHECK_AND_RUN
