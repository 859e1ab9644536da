"""``python -m pipeline score`` and ``score-model``: metrics of videos, and of a saved generator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.errors import user_errors
from pipeline.cli.score_texts import WITHHELD, comparison_table, folder_text, remarks
from pipeline.core import atomic
from pipeline.core.artifacts import read_json
from pipeline.core.choices import JUDGE_NAMES
from pipeline.core.layout import Layout, find_root
from pipeline.core.mappings import differing_keys


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
        from pipeline.evaluation.videos.folders import score_folder
        from pipeline.params import load_params

        layout = Layout(find_root())
        params = load_params(layout.params_path)
        found = score_folder(layout, params, generated, real, out, against)
        for line in folder_text(found, real, layout, params):
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
    yield comparison_table(str(model_dir), figures, rows).markdown()
    if is_unfit:
        yield WITHHELD
    yield from remarks(figures)
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


def _comparison(layout: Layout) -> dict[str, Any]:
    """The content of the stage compare's JSON file; without rows if the stage has not run."""
    if not layout.comparison_path.is_file():
        return {"protocol": {}, "rows": []}
    found: dict[str, Any] = read_json(layout.comparison_path)
    return found
