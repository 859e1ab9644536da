"""What ``python -m pipeline score`` does and says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline import atomic
from pipeline.evaluation.evaluator import TRAINED
from pipeline.evaluation.judges import Judges
from pipeline.evaluation.score import clips_csv
from pipeline.layout import Layout
from pipeline.params import load_params
from pipeline.scoring import videos
from pipeline.scoring.pairing import pair_videos
from pipeline.skill import skill_of


def score_folders(
    layout: Layout, generated: Path, reference: Path, out: Path | None, against: Path | None
) -> Iterator[str]:
    """Score the folders' videos, write ``out``, and tell the figures, beside those of ``against`` where it is given.

    Raises ValueError for a request that cannot be met; what can be checked before the long work is.
    """
    if out is not None and out.suffix != ".json":
        raise ValueError(f"--out {out} must end in .json; the figures of each clip go into a .csv beside it")
    params = load_params(layout.params_path)
    other = None if against is None else videos.read_result(against)
    pairs = pair_videos(generated, reference)
    judges = Judges.open(layout, params)
    protocol = videos.describe_protocol(pairs, judges, params.preprocess)
    if other is not None:
        videos.require_alike(protocol, other["protocol"], str(against))
    found = videos.score_videos(pairs, judges, params.preprocess)
    figures = judges.figures(found, is_generated=True) | {"protocol": protocol}
    if out is not None:
        atomic.write_json(out, figures)
        atomic.write_text(out.with_suffix(".csv"), clips_csv(found))
    yield videos.figures_table(figures, other, "" if against is None else against.name).markdown()
    for difference in [] if other is None else videos.differences(figures, other, str(against)):
        yield f"\nnot the same: {difference}"
    yield (
        f"\n{figures['num_clips']} clips, {figures['num_failed']} without a score; FID from "
        f"{figures['fid_num_images']} images a side; {judges.evaluator.name} evaluator"
    )
    if judges.evaluator.name == TRAINED:
        skill = skill_of(layout, "train_evaluator", "the evaluator")
        yield f"{skill}; LSE of other clips can be no better founded"
    for failure in figures["failures"]:
        yield f"no score: {failure['clip_id']}: {failure['reason']}"
