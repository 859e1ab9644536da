"""Stage ``train_gan``: training of one variant of the generator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline import stage
from pipeline.core.choices import CropGeometry
from pipeline.core.digest import sha256_of_names
from pipeline.core.errors import UserError
from pipeline.params import TrainGanParams, VariantParams

if TYPE_CHECKING:
    import torch

    from models.syncnet import SyncNet
    from pipeline.shards.clip import Clip
    from pipeline.training.gan import GanTrainee

NUM_SAMPLES = 6
MAX_GAN_VALIDATION_CLIPS = 256
"""Limit on validation clips, since they are in memory while windows are cut from them."""


def main(argv: Sequence[str] | None = None) -> int:
    return stage.stage_command_line("train_gan", _command, argv)


def _command(variant: Annotated[str, typer.Option(help="Variant to train: a key of variants in params.yaml.")]) -> int:
    """Train one variant of the generator.

    An interrupted training resumes from its last checkpoint. All other settings are in params.yaml.
    """
    return stage.run("train_gan", partial(_body, variant), variant)


def _body(variant: str, context: stage.StageContext) -> dict[str, Any]:
    from pipeline.inference import saved_model
    from pipeline.media.image import write_png
    from pipeline.shards.read import read_index, shared_geometry, source_ids
    from pipeline.training.generator_windows import window_cut
    from pipeline.training.session import Training, run_training, training_metrics
    from pipeline.training.variants import recipe_of

    params, wanted = context.params.train_gan, context.params.variants[variant]
    seed = context.params.seed if wanted.seed is None else wanted.seed
    expert_dir = context.layout.model_dir("train_syncnet")
    recipe = recipe_of(params, wanted)
    training = Training(
        params,
        cut=window_cut(params, recipe.kind, is_augmented=params.augment),
        parts=("frames", *recipe.kind.parts),
        seed=seed,
        keep_from=recipe.full_from,
        length_settings="window_frames or min_reference_gap_frames",
        num_validation_clips=min(params.num_validation_windows, MAX_GAN_VALIDATION_CLIPS),
        build=partial(build_trainee, params, wanted, expert_dir, seed, context.params.seed),
    )
    trained = run_training(context, training)
    trainee, report = trained.trainee, trained.report

    folder, rows = context.output_dir / "model", read_index(context.layout.clips_dir, "train")
    saved_model.save_model(
        folder,
        kind=recipe.kind.name,
        config=saved_model.config_to_save(recipe.config),
        state=trainee.weights(),
        info={
            "fingerprint": context.fingerprint,
            "variant": variant,
            "seed": seed,
            "expert_sha256": saved_model.model_sha256(expert_dir),
            "num_steps": int(report.curve[-1]["step"]),
            "kept_step": report.kept_step,
            "trained_on_sha256": sha256_of_names(source_ids(rows)),
            "crop": shared_geometry(rows),
            **({"source": "demo"} if context.params.dataset.source == "demo" else {}),
        },
    )
    samples = context.output_dir / "samples.png"
    write_png(samples, trainee.samples(NUM_SAMPLES))
    context.tracker.log_artifact(folder, "model")
    context.tracker.log_artifact(samples)
    return {
        **{f"val_{name}": value for name, value in report.validation.items()},
        "num_parameters": sum(p.numel() for p in trainee.generator.parameters()),
        "width": params.width,
        "resumed_from_step": report.resumed_from_step,
        **training_metrics(trained),
    }


def build_trainee(
    params: TrainGanParams,
    variant: VariantParams,
    expert_dir: Path,
    seed: int,
    validation_seed: int,
    clips: Sequence[Clip],
    device: torch.device,
) -> GanTrainee:
    """The untrained variant.

    ``seed``: of the initial weights. ``validation_seed``: of the validation windows. ``clips``: validation clips.
    Raises the errors of ``load_expert``, and UserError for crops of another size. The accuracy of the expert is not
    checked for a variant whose losses do not use it.
    """
    import torch

    from pipeline.training.gan import GanTrainee
    from pipeline.training.variants import recipe_of

    if clips[0].crop_px != params.face_px:
        raise UserError(
            f"train_gan.face_px is {params.face_px}, but the clips have face crops of {clips[0].crop_px} px; "
            "`dvc repro sync_filter` cuts them again"
        )
    recipe = recipe_of(params, variant)
    expert = load_expert(expert_dir, params.min_expert_accuracy if recipe.uses_expert else 0.0, clips[0].geometry)
    torch.manual_seed(seed)  # again, since loading the expert has drawn random numbers
    return GanTrainee(params, recipe, expert, clips, device, validation_seed=validation_seed)


def load_expert(folder: Path, min_accuracy: float, geometry: CropGeometry) -> SyncNet:
    """The trained expert, for clips with crops of ``geometry``.

    Raises UserError if it was trained on another geometry, or if its pairwise accuracy on validation clips is below
    ``min_accuracy``.
    """
    from pipeline.inference.sync_expert import read_expert

    expert = read_expert(folder)
    if expert.geometry != geometry:
        raise UserError(
            f"the sync expert in {folder} was trained on face crops of the geometry {expert.geometry}, but the clips "
            f"have {geometry} (params.yaml: preprocess.crop); `dvc repro train_syncnet` trains it again"
        )
    accuracy = float(expert.info["val_pairwise_accuracy"])
    if accuracy < min_accuracy:
        raise UserError(
            f"the sync expert's pairwise accuracy is {accuracy:.2f} (chance 0.50), below the limit {min_accuracy}: a "
            "generator cannot learn sync from it. In params.yaml, increase train_syncnet.num_steps, or lower "
            "train_gan.min_expert_accuracy if this is intended"
        )
    return expert.network


if __name__ == "__main__":
    raise SystemExit(main())
