"""Stage ``evaluate``: scores of one variant on held-out clips with the audio of another clip."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline import stage
from pipeline.core import atomic
from pipeline.core.choices import BOUNDS
from pipeline.core.errors import TemporaryError

if TYPE_CHECKING:
    from pipeline.evaluation.generate import CropGenerator
    from pipeline.evaluation.protocol import Pair
    from pipeline.evaluation.setup import Evaluation


def main(argv: Sequence[str] | None = None) -> int:
    return stage.stage_command_line("evaluate", _command, argv)


def _command(
    variant: Annotated[
        str,
        typer.Option(help=f"Variant to score: a key of variants in params.yaml, or {' or '.join(BOUNDS)}."),
    ],
) -> int:
    """Score one variant on held-out clips with the audio of another clip.

    All other settings are in params.yaml.
    """
    dvc_stage = "evaluate_bound" if variant in BOUNDS else "evaluate"
    return stage.run("evaluate", partial(_body, variant), variant, dvc_stage=dvc_stage)


def _body(variant: str, context: stage.StageContext) -> dict[str, Any]:
    from pipeline.evaluation.clip_rows import clips_csv

    started = time.monotonic()
    model_dir = None if variant in BOUNDS else context.layout.model_dir("train_gan", variant)
    row = _open_evaluation(context).score_row(variant, model_dir)
    of_generator: dict[str, Any] = {}
    if generate := row.generate:
        of_generator = {**row.evaluation.probe(generate), "generator_width": generate.generator.width}
    atomic.write_text(context.output_dir / "clips.csv", clips_csv(row.score))
    _write_videos(variant, context, row.evaluation, [item.pair for item, _ in row.score.scored], generate)
    return {
        **row.metrics,
        **of_generator,
        "variant": variant,
        "num_rejected": _num_rejected(context.layout.clips_dir),
        "seconds": time.monotonic() - started,
    }


def _open_evaluation(context: stage.StageContext) -> Evaluation:
    """Open the evaluation. Raises TemporaryError if Inception's weights cannot be downloaded.

    Raises WeightsError if the folder has a wrong file in their place, which the user has to remove.
    """
    from pipeline.evaluation.setup import Evaluation
    from pipeline.inference.pretrained import INCEPTION, WeightsError

    try:
        return Evaluation.open(context.layout, context.params)
    except WeightsError as error:
        if (context.layout.weights_dir / INCEPTION.name).exists():
            raise
        raise TemporaryError(str(error)) from error


def _num_rejected(clips_dir: Path) -> int:
    """Number of held-out clips, or parts of clips, that preprocessing and the sync filter rejected."""
    from pipeline.evaluation.setup import SPLIT
    from pipeline.shards.read import read_rejects

    return sum(reject.split == SPLIT for reject in read_rejects(clips_dir))


def _write_videos(
    variant: str,
    context: stage.StageContext,
    evaluation: Evaluation,
    pairs: Sequence[Pair],
    generate: CropGenerator | None,
) -> None:
    """Write a few clips as strips for inspection and as videos for the comparison's page, with a list of them."""
    from pipeline.evaluation.strips import choose_strips, make_take, write_strip, write_take

    clips, params = evaluation.clips, evaluation.networks.params
    strips_dir, takes_dir = context.output_dir / "strips", context.output_dir / "takes"
    listed = []
    for folder in (strips_dir, takes_dir):
        folder.mkdir(parents=True, exist_ok=True)
    pair_of, first_pairs = _first_of_each_video(pairs), _first_of_each_video(evaluation.pairs)
    here = [pair for pair in first_pairs.values() if pair.video_id in clips]
    chosen = choose_strips(here, clips, params.num_strips)  # the same clips in every row
    shown = [pair_of[pair.video_id] for pair in chosen if pair.video_id in pair_of]
    for number, pair in enumerate(shown):
        take = make_take(variant, clips[pair.video_id], clips[pair.audio_id], generate)
        name = f"{number:02d}-{take.video.key}.mp4"
        write_strip(strips_dir / name, take, params.reference)
        write_take(takes_dir / name, take)
        listed.append({"file": name, "clip_id": pair.video_id, "audio_clip_id": pair.audio_id, "caption": take.caption})
    atomic.write_json(takes_dir / "takes.json", {"takes": listed})
    context.tracker.log_artifact(strips_dir, "strips")
    context.tracker.log_artifact(context.output_dir / "clips.csv")


def _first_of_each_video(pairs: Iterable[Pair]) -> dict[str, Pair]:
    first: dict[str, Pair] = {}
    for pair in pairs:
        first.setdefault(pair.video_id, pair)
    return first


if __name__ == "__main__":
    raise SystemExit(main())
