"""Training of a generator for a limited time, on clips that `benchmarks/gpu.sh pack` wrote. A later run continues it.

python -m benchmarks.gpu_train VARIANT BOX STATE [--seconds 300] [--steps 8000] [--width 1] [--clips-per-batch 64]
    [--learning-rate 0.0001] [--device cuda] [--checkpoint-every 500] [--started 1764512345]

VARIANT is a key of variants in BOX/params.yaml. All settings that are not options are those of that file. Reads
BOX/clips.npz and BOX/expert. Writes to STATE/VARIANT: the model in half precision (model), the curve (curve.csv), the
settings (settings.json) and the checkpoint. The learning rate and the losses follow the number of steps, so give all
runs the same --steps. With --seconds 0 no step is made if there is a checkpoint; its curve and model are written. If
the memory of the GPU is too small, a batch is computed in more parts, one after another.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import torch
import typer

from benchmarks.gpu_clips import CLIPS_NAME, PackedClip, PackedStream, load_clips
from benchmarks.gpu_settings import REPLACED, WITHOUT_EFFECT, keep_micro_batches, keep_settings, replaced_params
from benchmarks.gpu_state import (
    CURVE_NAME,
    MODEL_FOLDER,
    TimedStore,
    TimeUpError,
    has_checkpoint,
    remove_unfinished_files,
)
from models.syncnet import SyncNet
from pipeline.core.choices import Device
from pipeline.core.command_line import run_and_report
from pipeline.core.digest import sha256_of
from pipeline.core.errors import LipsmithError, UserError
from pipeline.core.logs import log_to_stderr
from pipeline.core.signals import exit_on_signals
from pipeline.inference.device import select_device
from pipeline.inference.saved_model import config_to_save, model_sha256, save_model
from pipeline.inference.sync_expert import read_expert
from pipeline.params import Params, TrainGanParams
from pipeline.training.curve import write_curve
from pipeline.training.curve_log import merge_rows
from pipeline.training.gan import GanTrainee
from pipeline.training.generator_windows import window_cut
from pipeline.training.loop import Schedule, train
from pipeline.training.variants import Recipe, recipe_of
from pipeline.training.windows import WindowBatches

logger = logging.getLogger(__name__)

LOG_EVERY = 10
VALIDATE_EVERY_CHECKPOINTS = 2


def main(argv: Sequence[str] | None = None) -> int:
    return run_and_report(_command, argv, "python -m benchmarks.gpu_train")


def _command(
    variant: Annotated[str, typer.Argument(help="A key of variants in params.yaml.")],
    box: Annotated[Path, typer.Argument(help="Folder that `gpu.sh pack` wrote.")],
    state: Annotated[Path, typer.Argument(help="Folder of checkpoints, models and curves.")],
    seconds: Annotated[float, typer.Option(help="Time after which the training stops with a checkpoint.")] = 300.0,
    steps: Annotated[int, typer.Option(help="Steps of the whole training, over all runs.")] = 8000,
    width: Annotated[float, typer.Option(help="Width of generator and discriminator; 1 is Wav2Lip's size.")] = 1.0,
    clips_per_batch: Annotated[int, typer.Option(help="Clips in a batch.")] = 64,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate of the generator.")] = 0.0001,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cuda",
    checkpoint_every: Annotated[int, typer.Option(help="Steps between checkpoints.")] = 500,
    started: Annotated[float | None, typer.Option(help="Unix time at which --seconds begin. Default: now.")] = None,
) -> int:
    """Train a generator for a limited time, or continue its training."""
    deadline = time.monotonic() + seconds - (0.0 if started is None else time.time() - started)
    log_to_stderr()
    replacements = {
        "width": width,
        "discriminator_width": width,
        "num_steps": steps,
        "clips_per_batch": clips_per_batch,
        "learning_rate": learning_rate,
        "checkpoint_every": checkpoint_every,
        "validate_every": VALIDATE_EVERY_CHECKPOINTS * checkpoint_every,
    }
    run(variant, box, state / variant, replacements, select_device(cast(Device, device)), deadline)
    return 0


def run(
    variant: str, box: Path, state_dir: Path, replacements: Mapping[str, Any], device: torch.device, deadline: float
) -> int:
    """Train until ``deadline`` (of ``time.monotonic``) or the last step. Returns the number of steps so far.

    ``replacements``: settings of train_gan. The saved model has the averaged weights of the last checkpoint, not the
    best ones. An error or a signal in the training leaves it too. Raises UserError for a variant that does not exist or
    needs more than mel spectrograms, for impossible settings, and for others than those of the training in
    ``state_dir``.
    """
    training = _prepared(variant, box, state_dir, replacements, device, deadline)
    if time.monotonic() >= deadline and has_checkpoint(state_dir):
        return training.write_results(None)
    validation: dict[str, float] | None = None
    try:
        validation = _train_in_parts_that_fit(training)
    except LipsmithError as error:
        raise type(error)(f"{error}; {REPLACED}") from error
    finally:
        num_steps_done = training.write_results(validation)
    logger.info("%s: step %d of %d", state_dir, num_steps_done, training.params.train_gan.num_steps)
    return num_steps_done


@dataclass(frozen=True)
class TimedTraining:
    """What a run needs. ``params``: with the replaced settings, and no other variant."""

    params: Params
    variant: str
    expert: SyncNet
    clips: Mapping[str, Sequence[PackedClip]]
    device: torch.device
    store: TimedStore
    micro_batches: int
    """Number for the first attempt."""

    def recipe(self, gan: TrainGanParams) -> Recipe:
        return recipe_of(gan, self.params.variants[self.variant])

    def train(self, micro_batches: int) -> dict[str, float]:
        """Train until the time is over or the last step. Returns the validation of the last step."""
        gan = self.params.train_gan.model_copy(update={"micro_batches": micro_batches})
        recipe, seed = self.recipe(gan), self.params.variants[self.variant].seed
        seed = self.params.seed if seed is None else seed
        torch.manual_seed(seed)
        trainee = GanTrainee(gan, recipe, self.expert, cast(Any, self.clips["val"]), self.device, self.params.seed)
        cut = window_cut(gan, recipe.kind, is_augmented=gan.augment)
        batches = WindowBatches(
            cast(Any, PackedStream(self.clips["train"], seed)),
            cut,
            gan.clips_per_batch,
            length_settings="window_frames or min_reference_gap_frames",
        )
        # The store gets every step, and chooses those that it writes.
        schedule = Schedule(gan.num_steps, gan.validate_every, 1, LOG_EVERY, keep="last")
        began = time.monotonic()
        with suppress(TimeUpError):
            train(trainee, batches, schedule, self.store, lambda rows: True)
        share = batches.wait_seconds / (time.monotonic() - began)
        logger.info("%.0f %% of the time were spent waiting for batches", 100 * share)
        return trainee.validate()

    def write_results(self, validation: Mapping[str, float] | None) -> int:
        """Write curve and model of the last checkpoint. Returns its step; 0 if there is none, and writes nothing.

        ``validation``: that of its step. Without it, the model names the last one in the checkpoint. Convolutions and
        matrices are in half precision, which halves the file; loading restores both.
        """
        checkpoint = self.store.load()
        if checkpoint is None:
            return 0
        num_steps_done, kept, recipe = int(checkpoint["step"]), checkpoint["chosen"], self.recipe(self.params.train_gan)
        weights = checkpoint["trainee"]["averaged"]["network"]
        write_curve(self.store.folder / CURVE_NAME, merge_rows(checkpoint["curve"]))
        save_model(
            self.store.folder / MODEL_FOLDER,
            kind=recipe.kind.name,
            config=config_to_save(recipe.config),
            state={name: value.half() if value.ndim > 1 else value for name, value in weights.items()},
            info={
                "variant": self.variant,
                "num_steps": num_steps_done,
                "validation": kept["validation"] if validation is None else validation,
                "validation_step": kept["step"] if validation is None else num_steps_done,
                "crop": self.clips["val"][0].geometry,
            },
        )
        return num_steps_done


def _prepared(
    variant: str, box: Path, state_dir: Path, replacements: Mapping[str, Any], device: torch.device, deadline: float
) -> TimedTraining:
    expert = read_expert(box / "expert").network
    params = replaced_params(box / "params.yaml", variant, replacements, expert.config.width)
    gan = params.train_gan
    recipe = recipe_of(gan, params.variants[variant])
    if recipe.kind.parts != ("mel",):
        raise UserError(f"the variant {variant} needs {' and '.join(recipe.kind.parts)}; the clips here have mel only")
    clips = load_clips(box / CLIPS_NAME)
    size_px = clips["train"][0].images.shape[1]
    if size_px != gan.face_px:
        raise UserError(
            f"train_gan.face_px is {gan.face_px} in {box / 'params.yaml'}, but {box / CLIPS_NAME} has face crops of "
            f"{size_px} px; set train_gan.face_px to {size_px}, or pack clips of the other size"
        )
    torch.backends.cudnn.benchmark = True  # all batches have the same size
    state_dir.mkdir(parents=True, exist_ok=True)
    remove_unfinished_files(state_dir)
    settings = {
        "train_gan": gan.model_dump(mode="json", exclude=WITHOUT_EFFECT),
        "variant": params.variants[variant].model_dump(mode="json"),
        "seed": params.seed,
        "sha256": {"clips": sha256_of(box / CLIPS_NAME), "expert": model_sha256(box / "expert")},
    }
    micro_batches = keep_settings(state_dir, settings)
    store = TimedStore(state_dir, gan.checkpoint_every, gan.num_steps, deadline)
    return TimedTraining(params, variant, expert, clips, device, store, micro_batches or gan.micro_batches)


def _train_in_parts_that_fit(training: TimedTraining) -> dict[str, float]:
    """Train; while the GPU's memory is too small, go on from the last checkpoint with twice as many micro-batches."""
    num, clips_per_batch = training.micro_batches, training.params.train_gan.clips_per_batch
    while True:
        try:
            return training.train(num)
        except torch.OutOfMemoryError as error:
            if clips_per_batch % (2 * num) or clips_per_batch < 4 * num:  # two clips each: BatchNorm, LipGAN
                raise UserError(
                    f"the memory of the GPU is too small for {num} micro-batches of {clips_per_batch // num} clips "
                    f"({error}); lower --clips-per-batch or --width"
                ) from error
        num *= 2
        logger.warning("the memory of the GPU is too small: a batch is now computed in %d parts", num)
        keep_micro_batches(training.store.folder, num)
        gc.collect()
        torch.cuda.empty_cache()


if __name__ == "__main__":
    exit_on_signals()
    raise SystemExit(main())
