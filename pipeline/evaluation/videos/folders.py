"""Scores the videos of a folder against the real ones, and writes the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.compare.table import clip_scores, intervals_over_clips
from pipeline.core import atomic
from pipeline.core.layout import Layout
from pipeline.evaluation.clip_rows import clips_csv
from pipeline.evaluation.lips import lip_summary
from pipeline.evaluation.networks import Networks
from pipeline.evaluation.score import PairResult
from pipeline.evaluation.videos.against import ClipScores, EarlierResult, Figures, require_alike
from pipeline.evaluation.videos.encodings import Encodings
from pipeline.evaluation.videos.pairing import pair_videos
from pipeline.evaluation.videos.result_files import clips_csv_path, require_result_files
from pipeline.evaluation.videos.score import describe_protocol, fitness_figures, score_videos
from pipeline.metrics import without_evaluator
from pipeline.params import Params


@dataclass(frozen=True)
class ScoredFolder:
    """The metrics of the videos of a folder.

    ``figures``: the content of the JSON file. ``clips``: the scored rows of the CSV file. ``converted``: the scored
    pairs with a note, which were resampled or cut. ``other``: the earlier result to compare with, if any.
    """

    figures: Figures
    clips: ClipScores
    has_intervals: bool
    encodings: Encodings
    converted: Sequence[PairResult]
    other: EarlierResult | None

    @property
    def is_unfit(self) -> bool:
        """Whether the evaluator cannot judge the clips, so that its metrics are withheld."""
        return bool(self.figures["fitness"]["is_fit"] is False)


def score_folder(
    layout: Layout, params: Params, generated: Path, real: Path, out: Path | None, against: Path | None
) -> ScoredFolder:
    """Score the videos in ``generated`` against those in ``real`` with the networks of the checkout.

    ``out``: JSON file to write, with a CSV file of each clip's metrics beside it. ``against``: an earlier result to
    compare with. Raises UserError for invalid arguments, before the computation where possible, and DataError if no
    clip could be scored.
    """
    if out is not None:
        require_result_files(out, against)
    other = None if against is None else EarlierResult.read(against)
    pairs, unmatched = pair_videos(generated, real)
    networks = Networks.open(layout, params)
    encodings = Encodings.of(pairs)
    protocol = describe_protocol(pairs, networks, params.preprocess, encodings)
    if other is not None:
        require_alike(protocol, other.figures["protocol"], str(other.path))
    found = score_videos(pairs, networks, params.preprocess)
    fitness = fitness_figures(found, networks.evaluator.name)
    is_unfit = fitness["is_fit"] is False
    if out is not None:  # the CSV has the reasons even if no clip could be scored
        atomic.write_text(clips_csv_path(out), clips_csv(found, has_sync=not is_unfit))
    figures = networks.metrics(found, is_generated=True)
    figures |= {"protocol": protocol, "unmatched": unmatched, "fitness": fitness}
    figures |= lip_summary([item.real_lips for item, _ in found.scored], "real_")
    clips = clip_scores(clips_csv(found))
    resampling = params.compare.confidence, params.compare.num_resamples, params.seed
    intervals = intervals_over_clips(clips, *resampling)
    figures |= intervals
    if is_unfit:
        figures = without_evaluator(figures) | {"withheld": fitness["text"]}
    if out is not None:
        atomic.write_json(out, figures)
    converted = [item for item, _ in found.scored if item.note]
    return ScoredFolder(figures, clips, bool(intervals), encodings, converted, other)
