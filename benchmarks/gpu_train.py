"""Training of a generator for a limited time, on clips that `benchmarks/gpu.sh pack` wrote. A later run continues it.

python -m benchmarks.gpu_train VARIANT BOX STATE [--seconds 300] [--steps 8000] [--width 1] [--clips-per-batch 64]
    [--learning-rate 0.0001] [--device cuda] [--checkpoint-every 200]

VARIANT is a key of variants in BOX/params.yaml. All settings that are not options are those of that file. Reads
BOX/clips.npz and BOX/expert. Writes to STATE/VARIANT: the model in half precision (model), the curve (curve.csv) and
the checkpoint. The learning rate and the losses follow the number of steps, so give all runs the same --steps.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, cast

import torch
import typer
from pydantic import ValidationError

from benchmarks.gpu_clips import CLIPS_NAME, PackedStream, load_clips
from pipeline.core.choices import Device
from pipeline.core.command_line import reported, run_command
from pipeline.core.errors import UserError
from pipeline.core.logs import log_to_stderr
from pipeline.inference.device import select_device
from pipeline.inference.saved_model import config_to_save, save_model
from pipeline.inference.sync_expert import read_expert
from pipeline.params import TrainGanParams, load_params
from pipeline.training.checkpoint import CheckpointStore
from pipeline.training.curve import write_curve
from pipeline.training.gan import GanTrainee, window_cut
from pipeline.training.loop import Schedule, merge_rows, train
from pipeline.training.variants import Recipe, recipe_of
from pipeline.training.windows import WindowBatches

LOG_EVERY = 10
VALIDATE_EVERY_CHECKPOINTS = 5


class TimeUpError(Exception):
    """The time is over. A checkpoint of the last step exists."""


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(_command, argv, "python -m benchmarks.gpu_train")


def _command(
    variant: Annotated[str, typer.Argument(help="A key of variants in params.yaml.")],
    box: Annotated[Path, typer.Argument(help="Folder that `gpu.sh pack` wrote.")],
    state: Annotated[Path, typer.Argument(help="Folder of checkpoints, models and curves.")],
    seconds: Annotated[float, typer.Option(help="Time after which the training stops at a checkpoint.")] = 300.0,
    steps: Annotated[int, typer.Option(help="Steps of the whole training, over all runs.")] = 8000,
    width: Annotated[float, typer.Option(help="Width of generator and discriminator; 1 is Wav2Lip's size.")] = 1.0,
    clips_per_batch: Annotated[int, typer.Option(help="Clips in a batch.")] = 64,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate of the generator.")] = 0.0001,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cuda",
    checkpoint_every: Annotated[int, typer.Option(help="Steps between checkpoints.")] = 200,
) -> int:
    """Train a generator for a limited time, or continue its training."""
    deadline = time.monotonic() + seconds
    log_to_stderr()
    sizes = {
        "width": width,
        "discriminator_width": width,
        "num_steps": steps,
        "clips_per_batch": clips_per_batch,
        "learning_rate": learning_rate,
        "checkpoint_every": checkpoint_every,
        "validate_every": VALIDATE_EVERY_CHECKPOINTS * checkpoint_every,
    }

    def body() -> int:
        run(variant, box, state / variant, sizes, select_device(cast(Device, device)), deadline)
        return 0

    return reported(body, lambda error: print(error, file=sys.stderr))


def run(
    variant: str, box: Path, state_dir: Path, sizes: Mapping[str, Any], device: torch.device, deadline: float
) -> int:
    """Train until ``deadline`` (of ``time.monotonic``) or the last step. Returns the number of steps so far.

    The saved model has the averaged weights of the last checkpoint, not the best ones. Raises UserError for a variant
    that does not exist or needs more than mel spectrograms, and for impossible settings.
    """
    params = load_params(box / "params.yaml")
    expert = read_expert(box / "expert")
    gan = _settings(params.train_gan, sizes, expert.network.config.width)
    if variant not in params.variants:
        raise UserError(f"no variant {variant!r} in {box / 'params.yaml'}; it has {', '.join(params.variants)}")
    recipe = recipe_of(gan, params.variants[variant])
    if recipe.kind.parts != ("mel",):
        raise UserError(f"the variant {variant} needs {' and '.join(recipe.kind.parts)}; the clips here have mel only")
    clips = load_clips(box / CLIPS_NAME)
    torch.backends.cudnn.benchmark = True  # all batches have the same size
    torch.manual_seed(params.seed)
    trainee = GanTrainee(gan, recipe, expert.network, cast(Any, clips["val"]), device, params.seed)
    cut = window_cut(gan, recipe.kind, is_augmented=gan.augment)
    batches = WindowBatches(cast(Any, PackedStream(clips["train"], params.seed)), cut, gan.clips_per_batch)
    store = CheckpointStore(state_dir)
    state_dir.mkdir(parents=True, exist_ok=True)
    schedule = Schedule(gan.num_steps, gan.validate_every, gan.checkpoint_every, LOG_EVERY, keep="last")

    def stop_in_time(rows: Iterable[tuple[int, Mapping[str, float]]]) -> bool:
        """The training logs its rows after each checkpoint."""
        if time.monotonic() >= deadline:
            raise TimeUpError
        return True

    with suppress(TimeUpError):
        train(trainee, batches, schedule, store, stop_in_time)
    state = store.load()
    assert state is not None  # the training ends after a checkpoint only
    trainee.load_state_dict(state["trainee"])
    write_curve(state_dir / "curve.csv", merge_rows(state["curve"]))
    _save(
        trainee, recipe, state_dir / "model", {"variant": variant, "num_steps": state["step"]}, clips["val"][0].geometry
    )
    return int(state["step"])


def _settings(params: TrainGanParams, sizes: Mapping[str, Any], expert_width: float) -> TrainGanParams:
    """The settings with those of ``sizes`` replaced. A generator of another width than the expert starts at random."""
    further = {} if sizes["width"] == expert_width else {"audio_start": "random"}
    try:
        return TrainGanParams(**{**params.model_dump(), **sizes, **further})
    except ValidationError as error:
        reasons = "; ".join(str(item["msg"]) for item in error.errors())
        raise UserError(f"train_gan of params.yaml does not allow the given options: {reasons}") from None


def _save(trainee: GanTrainee, recipe: Recipe, folder: Path, info: dict[str, Any], crop: str) -> None:
    """Save the model. Convolutions and matrices are in half precision, which halves the file; loading restores both."""
    save_model(
        folder,
        kind=recipe.kind.name,
        config=config_to_save(recipe.config),
        state={name: value.half() if value.ndim > 1 else value for name, value in trainee.weights().items()},
        info={**info, "validation": trainee.validate(), "crop": crop},
    )


if __name__ == "__main__":
    raise SystemExit(main())
