"""``python -m pipeline score`` and ``score-model``: figures of videos, or of a saved generator, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.errors import user_errors
from pipeline.core.artifacts import read_json
from pipeline.core.errors import UserError
from pipeline.core.layout import Layout, find_root
from pipeline.report.tables import Table

MAX_NAMED = 20
SCORE_COLUMNS = ("LSE-D ↓", "LSE-C ↑", "FID ↓", "1000 KID ↓", "≤ 1 frame ↑")


def score(
    generated: Annotated[Path, typer.Option(help="Folder of videos that some system made, with their sound.")],
    reference: Annotated[Path, typer.Option(help="Folder of the real videos they were made from, by the same names.")],
    out: Annotated[
        Path | None,
        typer.Option(help="JSON to write; each clip's figures go into a CSV beside it. Without it: no files."),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="JSON that --out wrote for another system, to compare with.")
    ] = None,
) -> None:
    """Score videos of any system: LSE-D, LSE-C, FID, KID and jitter, with the pipeline's own judges.

    The face is looked for in the real video; both are cut out there. A clip that cannot be scored is named and counted:
    exit code 0 as long as one was scored.
    """
    with user_errors():
        for line in score_folders(Layout(find_root()), generated, reference, out, against):
            typer.echo(line)


def score_model(
    model: Annotated[Path, typer.Option(help="Folder of a saved generator.")],
    out: Annotated[Path | None, typer.Option(help="JSON to write. Without it: no file.")] = None,
) -> None:
    """Score a generator on the held-out clips under unseen audio, as the stage evaluate scores variants.

    Says whether the comparison in artifacts/compare was made under the same protocol, and if so shows its rows, too.
    """
    with user_errors():
        for line in score_saved(Layout(find_root()), model, out):
            typer.echo(line)


def score_folders(
    layout: Layout, generated: Path, reference: Path, out: Path | None, against: Path | None
) -> Iterator[str]:
    """Score the folders' videos, write ``out``, and tell the figures, beside those of ``against`` where it is given.

    Raises UserError for a request that cannot be met; what can be checked before the long work is. Raises DataError
    where no clip could be scored.
    """
    from pipeline.compare.intervals import level
    from pipeline.compare.table import clip_scores, intervals_over_clips
    from pipeline.core import atomic
    from pipeline.evaluation.evaluator_quality import accuracy_sentence
    from pipeline.evaluation.judges import Judges
    from pipeline.evaluation.score import clips_csv
    from pipeline.evaluation.videos import against as comparing
    from pipeline.evaluation.videos import score as scoring
    from pipeline.evaluation.videos.pairing import pair_videos
    from pipeline.inference.lse_evaluator import TRAINED
    from pipeline.params import load_params

    _require_json(out)
    params = load_params(layout.params_path)
    other = None if against is None else comparing.EarlierResult.read(against)
    pairs, unmatched = pair_videos(generated, reference)
    judges = Judges.open(layout, params)
    protocol = scoring.describe_protocol(pairs, judges, params.preprocess)
    if other is not None:
        comparing.require_alike(protocol, other.figures["protocol"], str(other.path))
    found = scoring.score_videos(pairs, judges, params.preprocess)
    by_clip = clips_csv(found)
    if out is not None:
        atomic.write_text(out.with_suffix(".csv"), by_clip)  # with the reasons, even where none could be scored
    figures = judges.figures(found, is_generated=True) | {"protocol": protocol, "unmatched": unmatched}
    clips = clip_scores(by_clip)
    if len(clips) >= comparing.MIN_SHARED_CLIPS:
        resampling = params.compare.confidence, params.compare.num_resamples, params.seed
        figures |= intervals_over_clips(clips, *resampling)
    if out is not None:
        atomic.write_json(out, figures)
    if other is None:
        yield comparing.figures_table(figures).markdown()
    else:
        table, said = comparing.against_table(figures, clips, other, params.compare, params.seed)
        yield table.markdown()
        yield from (
            "",
            *said,
            *(f"not the same: {difference}" for difference in comparing.protocol_differences(figures, other)),
        )
    if len(clips) >= comparing.MIN_SHARED_CLIPS:
        yield f"\n[]: {level(params.compare.confidence)} interval over clips"
    yield from _remarks(figures)
    if noted := [item for item, _ in found.scored if item.reason]:
        first = noted[0]
        yield f"{len(noted)} scored after a change, such as {first.pair.video_id}: {first.reason}"
    if unmatched:
        yield f"not looked at, for {reference} has no video of their name: {_some(unmatched)}"
    if judges.evaluator.name == TRAINED:
        skill = accuracy_sentence(layout, "train_evaluator", "the evaluator")
        yield f"{skill}; LSE of other clips can be no better founded"


def score_saved(layout: Layout, model_dir: Path, out: Path | None) -> Iterator[str]:
    """Score a saved generator as ``evaluate`` would, write ``out``, and tell the figures.

    The rows of the checkout's comparison stand beside them where both were scored alike. Raises as
    ``Evaluation.open`` and ``MouthGenerator.load``, DataError where no clip was scored.
    """
    from pipeline.core import atomic
    from pipeline.core.versions import differing
    from pipeline.evaluation.evaluator_quality import accuracy_sentence
    from pipeline.evaluation.judges import Evaluation
    from pipeline.inference.lse_evaluator import TRAINED
    from pipeline.params import load_params
    from pipeline.promote.gate import differing_settings

    _require_json(out)
    evaluation = Evaluation.open(layout, load_params(layout.params_path))
    figures = evaluation.score_model("the model", model_dir)
    if out is not None:
        atomic.write_json(out, figures)
    protocol, compared = figures["protocol"], _comparison(layout)
    is_alike = protocol["sha256"] == compared["protocol"].get("sha256")
    rows = compared["rows"] if is_alike else []
    yield _beside(str(model_dir), figures, rows).markdown()
    yield from _remarks(figures)
    if figures["evaluator"] == TRAINED:
        skill = accuracy_sentence(layout, "train_evaluator", "the evaluator")
        yield f"{skill}; its LSE is for rows of this checkout, not for published figures"
    yield f"protocol {protocol['id']}, digest {protocol['sha256']}, reference {protocol['reference']}"
    where = layout.comparison_path.parent
    if is_alike:
        yield f"the comparison in {where} was made under the same protocol"
    elif compared["rows"]:
        others = ", ".join(differing_settings(protocol, compared["protocol"]))
        yield f"the comparison in {where} was made under another protocol, so its rows are no measure: {others}"
    else:
        yield f"there is no comparison in {where}; `dvc repro` makes one"
    if packages := differing([figures["versions"], *(row["versions"] for row in rows)]):
        yield f"its rows are of other versions of {', '.join(packages)}: last digits may differ"


def _require_json(out: Path | None) -> None:
    if out is not None and (out.suffix != ".json" or out.is_dir()):
        raise UserError(f"--out {out} must be a file whose name ends in .json")


def _some(names: Sequence[str]) -> str:
    """The first few, and how many there are."""
    shown = ", ".join(names[:MAX_NAMED])
    return shown if len(names) <= MAX_NAMED else f"{shown} and {len(names) - MAX_NAMED} more"


def _comparison(layout: Layout) -> dict[str, Any]:
    """What the stage compare wrote; without rows where it has not run."""
    if not layout.comparison_path.is_file():
        return {"protocol": {}, "rows": []}
    found: dict[str, Any] = read_json(layout.comparison_path)
    return found


def _beside(name: str, figures: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Table:
    """A model's figures above a comparison's rows."""
    named = [(name, figures), *((f"`{row['variant']}`", row) for row in rows)]
    cells = [
        [
            label,
            f"{found['lse_d']:.3f}",
            f"{found['lse_c']:.3f}",
            f"{found['fid']:.2f}",
            f"{1000 * found['kid']:.2f}",
            f"{found['within_one_frame']:.0%}",
        ]
        for label, found in named
    ]
    return Table(["", *SCORE_COLUMNS], cells)


def _remarks(figures: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"\n{figures['num_clips']} clips, {figures['num_failed']} without a score; FID from "
        f"{figures['fid_num_images']} images a side; {figures['evaluator']} evaluator"
    )
    failures = figures["failures"]
    for failure in failures[:MAX_NAMED]:
        yield f"no score: {failure['clip_id']}: {failure['reason']}"
    if len(failures) > MAX_NAMED:
        yield f"no score for {len(failures) - MAX_NAMED} more: --out writes all with their reasons"
