"""``python -m pipeline score`` and ``score-model``: metrics of videos, and of a saved generator, as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.errors import user_errors
from pipeline.core import atomic
from pipeline.core.artifacts import read_json
from pipeline.core.choices import JUDGE_NAMES
from pipeline.core.layout import Layout, find_root
from pipeline.core.mappings import differing_keys
from pipeline.report.tables import Table, number_text

MAX_NAMED = 20
WITHHELD = "the evaluator cannot judge these clips"
SCORE_COLUMNS = (
    *("LSE-D ↓", "LSE-C ↑", "LSE-C ↑, edge valid", "FID ↓", "1000 KID ↓", "≤ 1 frame ↑", "at limit"),
    *("opening ~ loudness ↑", "lips in pauses, px"),
)


def score(
    generated: Annotated[Path, typer.Option(help="Folder of videos that a system generated, with sound.")],
    real: Annotated[Path, typer.Option(help="Folder of the real videos behind them, with the same names.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="JSON file to write. The metrics of each clip go to a CSV file beside it: with out.json to out.csv. "
            "Earlier results of these names are replaced. Default: no files."
        ),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="JSON file that --out wrote for another system, for comparison.")
    ] = None,
) -> None:
    """Score videos of any system with the pipeline's metrics.

    The metrics are LSE-D, LSE-C, FID, KID, jitter and, with the extra landmarks, the lip metrics. The face is detected
    in the real video, and both videos are cropped there. The evaluator also places the real videos, and the output says
    whether it can judge them. Clips that cannot be scored are listed. Exit code 0 if at least one clip was scored.
    """
    with user_errors():
        for line in score_folders(Layout(find_root()), generated, real, out, against):
            typer.echo(line)


def score_model(
    model: Annotated[Path, typer.Option(help="Folder of a saved generator.")],
    out: Annotated[
        Path | None, typer.Option(help="JSON file to write. An existing file is replaced. Default: no file.")
    ] = None,
) -> None:
    """Score a generator on held-out clips with the audio of another clip.

    The protocol is that of the stage evaluate. If the comparison in artifacts/compare has the same protocol, its rows
    are printed too.
    """
    with user_errors():
        for line in score_saved(Layout(find_root()), model, out):
            typer.echo(line)


def score_folders(layout: Layout, generated: Path, real: Path, out: Path | None, against: Path | None) -> Iterator[str]:
    """Score the videos of a folder, write ``out`` and yield the result as lines of text.

    ``against``: earlier result to compare with. Raises UserError for invalid arguments, before the computation where
    possible, and DataError if no clip could be scored.
    """
    from pipeline.compare.intervals import few_clips_note, level
    from pipeline.compare.table import clip_scores, intervals_over_clips
    from pipeline.evaluation.clip_rows import clips_csv
    from pipeline.evaluation.evaluator_quality import accuracy_sentence
    from pipeline.evaluation.lips import lip_summary
    from pipeline.evaluation.networks import Networks
    from pipeline.evaluation.videos import against as comparing
    from pipeline.evaluation.videos import score as scoring
    from pipeline.evaluation.videos.encodings import Encodings
    from pipeline.evaluation.videos.pairing import pair_videos
    from pipeline.evaluation.videos.result_files import clips_csv_path, require_result_files
    from pipeline.inference.lse_evaluator import TRAINED
    from pipeline.metrics import without_evaluator
    from pipeline.params import load_params

    if out is not None:
        require_result_files(out, against)
    params = load_params(layout.params_path)
    other = None if against is None else comparing.EarlierResult.read(against)
    pairs, unmatched = pair_videos(generated, real)
    networks = Networks.open(layout, params)
    encodings = Encodings.of(pairs)
    protocol = scoring.describe_protocol(pairs, networks, params.preprocess, encodings)
    if other is not None:
        comparing.require_alike(protocol, other.figures["protocol"], str(other.path))
    found = scoring.score_videos(pairs, networks, params.preprocess)
    fitness = scoring.fitness_figures(found, networks.evaluator.name)
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
    yield f"{fitness['text']}\n"
    if other is None:
        yield comparing.figures_table(figures).markdown()
    else:
        table, sentences = comparing.against_table(figures, clips, other, params.compare, params.seed)
        yield table.markdown()
        yield from (
            "",
            *sentences,
            *(f"note: {difference}" for difference in comparing.protocol_differences(figures, other)),
        )
    if intervals:
        yield f"\n[]: {level(params.compare.confidence)} interval over clips"
    if note := few_clips_note(len(clips)):
        yield f"\n{note}"
    if is_unfit:
        yield f"\n-: withheld, because {WITHHELD}"
    yield from _remarks(figures)
    yield from encodings.sentences()
    if noted := [item for item, _ in found.scored if item.note]:
        first = noted[0]
        yield f"clips resampled or cut before scoring: {len(noted)}, such as {first.pair.video_id}: {first.note}"
    if unmatched:
        yield f"not scored, since {real} has no video with these names: {_some(unmatched)}"
    if is_unfit:
        return
    if networks.evaluator.name == TRAINED:
        accuracy = accuracy_sentence(layout, "train_evaluator", "the evaluator")
        yield f"{accuracy}; on other clips its LSE may be less reliable"
    elif networks.evaluator.name in JUDGE_NAMES:
        yield f"LSE is comparable with other results of {networks.evaluator.name} only"


def score_saved(layout: Layout, model_dir: Path, out: Path | None) -> Iterator[str]:
    """Score a saved generator as ``evaluate`` does, write ``out`` and yield the result as lines of text.

    The table includes the rows of the checkout's comparison if both have the same protocol. Raises the errors of
    ``Evaluation.open`` and ``MouthGenerator.load``, and DataError if no clip was scored.
    """
    from pipeline.core.versions import differing
    from pipeline.evaluation.bounds import with_fitness_of_bounds
    from pipeline.evaluation.evaluator_quality import accuracy_sentence
    from pipeline.evaluation.setup import Evaluation
    from pipeline.evaluation.videos.result_files import require_json
    from pipeline.inference.lse_evaluator import TRAINED
    from pipeline.metrics import without_evaluator
    from pipeline.params import load_params

    if out is not None:
        require_json(out)
    evaluation = Evaluation.open(layout, load_params(layout.params_path))
    figures = with_fitness_of_bounds(layout, evaluation.score_row("the model", model_dir).metrics)
    fitness = figures["fitness"]
    if is_unfit := fitness["is_fit"] is False:
        figures = without_evaluator(figures) | {"withheld": fitness["text"]}
    if out is not None:
        atomic.write_json(out, figures)
    protocol, compared = figures["protocol"], _comparison(layout)
    is_alike = protocol["sha256"] == compared["protocol"].get("sha256")
    rows = compared["rows"] if is_alike else []
    yield f"{fitness['text']}\n"
    yield _comparison_table(str(model_dir), figures, rows).markdown()
    if is_unfit:
        yield f"\n-: withheld, because {WITHHELD}"
    yield from _remarks(figures)
    if figures["evaluator"] == TRAINED and not is_unfit:
        accuracy = accuracy_sentence(layout, "train_evaluator", "the evaluator")
        yield f"{accuracy}; compare its LSE with rows of this checkout, not with published results"
    elif (judge := figures["evaluator"]) in JUDGE_NAMES and not is_unfit:
        accuracy = accuracy_sentence(layout, "train_evaluator", judge, judge)
        yield f"{accuracy}; compare its LSE with other results of the same judge only"
    yield f"protocol {protocol['id']}, digest {protocol['sha256']}, reference {protocol['reference']}"
    where = layout.comparison_path.parent
    if is_alike:
        yield f"the comparison in {where} has the same protocol"
    elif compared["rows"]:
        others = ", ".join(differing_keys(protocol, compared["protocol"], ["sha256"]))
        yield f"the comparison in {where} has another protocol, so its rows cannot be compared; differing: {others}"
    else:
        yield f"{where} has no comparison; `dvc repro` creates it"
    if packages := differing([figures["versions"], *(row["versions"] for row in rows)]):
        yield f"its rows were computed with other versions of {', '.join(packages)}: last digits may differ"


def _some(names: Sequence[str]) -> str:
    """The first ``MAX_NAMED`` names, and the number of the others."""
    shown = ", ".join(names[:MAX_NAMED])
    return shown if len(names) <= MAX_NAMED else f"{shown} and {len(names) - MAX_NAMED} more"


def _comparison(layout: Layout) -> dict[str, Any]:
    """The content of the stage compare's JSON file; without rows if the stage has not run."""
    if not layout.comparison_path.is_file():
        return {"protocol": {}, "rows": []}
    found: dict[str, Any] = read_json(layout.comparison_path)
    return found


def _comparison_table(name: str, figures: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Table:
    """A table with a model's metrics above a comparison's rows."""
    named = [(name, figures), *((f"`{row['variant']}`", row) for row in rows)]
    cells = [
        [
            label,
            number_text(found["lse_d"], ".3f"),
            number_text(found["lse_c"], ".3f"),
            number_text(found["lse_c_valid"], ".3f"),
            f"{found['fid']:.2f}",
            f"{1000 * found['kid']:.2f}",
            number_text(found["within_one_frame"], ".0%"),
            number_text(found["share_at_limit"], ".0%"),
            number_text(found["opening_correlation"], ".2f"),
            number_text(found["pause_motion_px"], ".2f"),
        ]
        for label, found in named
    ]
    return Table(["", *SCORE_COLUMNS], cells)


def _remarks(figures: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"\n{figures['num_clips']} clips scored, {figures['num_failed']} without a score; FID from "
        f"{figures['fid_num_images']} images per side; {figures['evaluator']} evaluator"
    )
    if figures["num_short_clips"] and figures["lse_c"] is not None:
        yield (
            f"short clips: {figures['num_short_clips']} of {figures['num_clips']} are so short that "
            "LSE-C mostly measures zero padding; the values 'edge valid' leave it out"
        )
    if reason := figures["lips_missing"]:
        yield reason
    failures = figures["failures"]
    for failure in failures[:MAX_NAMED]:
        yield f"no score: {failure['clip_id']}: {failure['reason']}"
    if len(failures) > MAX_NAMED:
        yield f"no score for {len(failures) - MAX_NAMED} more; --out writes all of them with reasons"
