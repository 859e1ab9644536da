"""Thirty steps of each network's training, as its stage makes them, at a small size. Every setting is written here:
an edit of ``params.yaml`` changes no curve."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.syncnet import SyncNet
from pipeline.inference.tensors import expert_faces
from pipeline.params import (
    LipGanVariant,
    Speech2VidVariant,
    TrainEvaluatorParams,
    TrainGanParams,
    TrainSyncnetParams,
    VariantParams,
    Wav2LipVariant,
)
from pipeline.shards.clip import Clip
from pipeline.shards.stream import ClipStream
from pipeline.training.checkpoint import CheckpointStore
from pipeline.training.evaluator import CutEvaluatorWindows, EvaluatorTrainee
from pipeline.training.expert import ExpertTrainee, expert_config
from pipeline.training.gan import GanTrainee
from pipeline.training.generator_windows import window_cut
from pipeline.training.loop import Schedule, train
from pipeline.training.session import Training, spread_clips
from pipeline.training.variants import recipe_of
from pipeline.training.windows import CutSyncWindows, WindowBatches

NUM_STEPS = 30
SEED = 7
WIDTH = 0.0625
CPU = torch.device("cpu")
TRAINING: Mapping[str, Any] = {
    "width": WIDTH,
    "num_steps": NUM_STEPS,
    "warmup_steps": 4,
    "learning_rate": 0.00005,
    "grad_clip": 1.0,
    "precision": "fp32",
    "validate_every": 10,
    "keep": "last",
    "patience": 0,
    "checkpoint_every": NUM_STEPS,
}
CONTRASTIVE: Mapping[str, Any] = {
    "clips_per_batch": 4,
    "windows_per_clip": 2,
    "min_gap_frames": 5,
    "weight_decay": 0.01,
    "num_validation_pairs": 32,
}
EXPERT: Mapping[str, Any] = {
    "objective": "infonce",
    "augment": "strong",
    "dropout": 0.1,
    "embedding_dim": 32,
    "temperature": 0.1,
}
GAN: Mapping[str, Any] = {
    "face_px": 96,
    "clips_per_batch": 2,
    "ema_decay": 0.9,
    "window_frames": 5,
    "predicts": "image",
    "mel_window": "own",
    "lstm_over": "mel",
    "cbam_in": "encoders",
    "cbam_reduction": 16,
    "micro_batches": 1,
    "discriminator_width": WIDTH,
    "discriminator_learning_rate": 0.00005,
    "betas": (0.5, 0.999),
    "min_reference_gap_frames": 6,
    "augment": True,
    "audio_start": "expert",
    "sync_objective": "infonce",
    "sync_negatives": 3,
    "sync_temperature": 0.5,
    "min_expert_accuracy": 0.0,
    "num_validation_windows": 4,
    "losses": {
        "sync": {"weight": 0.1, "start_step": 0, "ramp_steps": 3},
        "adversarial": {"weight": 0.05, "start_step": 1, "ramp_steps": 2},
        "perceptual": {"weight": 0.2, "start_step": 0, "ramp_steps": 0},
        "feature_matching": {"weight": 0.1, "start_step": 2, "ramp_steps": 0},
        "temporal": {"weight": 0.4, "start_step": 0, "ramp_steps": 0},
        "mouth": {"weight": 0.3, "start_step": 0, "ramp_steps": 0},
    },
}
VARIANTS: Mapping[str, VariantParams] = {
    "lstm_cbam": Wav2LipVariant(
        network="wav2lip", use_lstm=True, use_cbam=True, use_discriminator=True, use_further_losses=True, seed=None
    ),
    "lipgan": LipGanVariant(network="lipgan", contrastive_weight=0.1, seed=None),
    "speech2vid": Speech2VidVariant(network="speech2vid", seed=None),
}


Curve = list[dict[str, float]]
"""A row for each step, numbered from 1 in ``step``: every scalar of the training and, every 10 steps, of validation."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch's sums depend on the number of threads in their last bits."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


def compute_curve(network: str, clips_dir: Path, scratch: Path, num_steps: int = NUM_STEPS) -> Curve:
    """Train one of `NETWORKS` on the clips of `write_clips`; ``scratch``, an empty folder, takes its checkpoint.

    Fewer steps, at least 3, are the first of them: the learning rate still warms up then.
    """
    training = NETWORKS[network]()
    params = training.params
    with one_thread():
        torch.manual_seed(training.seed)
        held_out = spread_clips(clips_dir, "val", training.num_validation_clips, training.parts)
        trainee = training.build(list(held_out), CPU)
        stream = ClipStream(clips_dir, "train", training.seed, parts=tuple(training.parts))
        report = train(
            trainee,
            WindowBatches(stream, training.cut, params.clips_per_batch),
            Schedule(num_steps, params.validate_every, params.checkpoint_every, log_every=1, keep=params.keep),
            CheckpointStore(scratch),
            lambda rows: True,
        )
    return report.curve


def _expert(objective: str) -> Training[Any]:
    params = TrainSyncnetParams(**{**TRAINING, **CONTRASTIVE, **EXPERT, "objective": objective})
    return Training(
        params,
        cut=CutSyncWindows(params.windows_per_clip, params.min_gap_frames, params.augment),
        parts=("frames", "mel"),
        seed=SEED,
        build=partial(ExpertTrainee, params, validation_seed=SEED),
    )


def _evaluator() -> Training[Any]:
    params = TrainEvaluatorParams(**{**TRAINING, **CONTRASTIVE, "augment": "light"})
    return Training(
        params,
        cut=CutEvaluatorWindows(params.windows_per_clip, params.min_gap_frames),
        parts=("context", "audio"),
        seed=SEED,
        build=partial(EvaluatorTrainee, params, validation_seed=SEED),
    )


def _generator(variant: VariantParams) -> Training[Any]:
    params = TrainGanParams(**{**TRAINING, **GAN})
    recipe = recipe_of(params, variant)

    def build(clips: Sequence[Clip], device: torch.device) -> GanTrainee:
        return GanTrainee(params, recipe, _untrained_expert(clips), clips, device, SEED)

    return Training(
        params,
        cut=window_cut(params, recipe.kind, is_augmented=params.augment),
        parts=("frames", *recipe.kind.parts),
        seed=SEED,
        build=build,
    )


def _untrained_expert(clips: Sequence[Clip]) -> SyncNet:
    """With the statistics of the clips in its BatchNorms: without them it gives every window about the same embedding,
    and the sync loss is a constant."""
    params = TrainSyncnetParams(**{**TRAINING, **CONTRASTIVE, **EXPERT})
    expert = SyncNet(expert_config(params))
    for module in expert.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches, here one
    cut = CutSyncWindows(4, params.min_gap_frames)
    windows = [item for clip in clips if (item := cut(clip, np.random.default_rng(SEED))) is not None]
    faces, mel = (torch.from_numpy(np.concatenate([item[name] for item in windows])) for name in ("faces", "mel"))
    with torch.no_grad():
        expert.train().embed_faces(expert_faces(faces, CPU))
        expert.embed_audio(mel.unsqueeze(1))
    return expert.eval()


NETWORKS: Mapping[str, Callable[[], Training[Any]]] = {
    "expert": partial(_expert, "infonce"),
    "expert_bce": partial(_expert, "bce"),
    "evaluator": _evaluator,
    **{name: partial(_generator, variant) for name, variant in VARIANTS.items()},
}
