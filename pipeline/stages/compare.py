"""Stage ``compare``: a table, plots and a page that compare all variants."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from pipeline import stage
from pipeline.core import atomic

logger = logging.getLogger(__name__)

PAGE = "index.html"
TRAINING_PANELS = {
    "l1": "L1, training",
    "val_l1": "L1, validation",
    "val_lower_l1": "L1 of the lower half, validation",
    "sync": "sync loss, training",
    "val_sync": "sync loss, validation",
    "adversarial": "adversarial loss",
}


def main(argv: Sequence[str] | None = None) -> int:
    return stage.stage_command_line("compare", _command, argv)


def _command() -> int:
    """Compare all variants in a table, plots and a page in artifacts/compare.

    The command has no options: params.yaml has them all.
    """
    return stage.run("compare", _body)


def _body(context: stage.StageContext) -> dict[str, Any]:
    from pipeline.compare import plots
    from pipeline.compare.page import page, read_takes
    from pipeline.compare.report import comparison_markdown, summary_text
    from pipeline.compare.rerun import rerun_commands
    from pipeline.compare.seeds import grouped
    from pipeline.compare.table import comparison, csv_text, read_result
    from pipeline.params.repeats import repeats_among
    from pipeline.shards.read import read_index, read_rejects

    params, layout = context.params.compare, context.layout
    variants = {name: variant.model_dump() for name, variant in context.params.variants.items()}
    repeats = repeats_among(variants)
    names = grouped(list(variants), repeats)
    folders = {name: layout.stage_dir("evaluate", name) for name in ("real", *names, "copy_input")}
    results = {name: read_result(folder) for name, folder in folders.items()}
    content = comparison(list(results.values()), params.confidence, params.num_resamples, context.params.seed, repeats)
    is_unfit = content["fitness"]["is_fit"] is False
    failures = {name: result.metrics["failures"] for name, result in results.items()}
    report = comparison_markdown(content, failures)
    summary = summary_text(content, (context.output_dir / PAGE).relative_to(layout.root).as_posix())

    atomic.write_json(layout.comparison_path, content)
    atomic.write_text(context.output_dir / "comparison.csv", csv_text(content["rows"]))
    atomic.write_text(context.output_dir / "comparison.md", report)
    atomic.write_text(layout.summary_path, summary)
    plots_dir = context.output_dir / "plots"
    plots.plot_scores(content["rows"], params.confidence, plots_dir / "scores.png")
    if is_unfit:
        (plots_dir / "offsets.png").unlink(missing_ok=True)
    else:
        histograms = {name: result.offset_histogram for name, result in results.items()}
        plots.plot_offsets(histograms, plots_dir / "offsets.png", repeats)
    curves = {name: plots.read_curve(layout.stage_dir("train_gan", name) / "curve.csv") for name in names}
    plots.plot_training(curves, TRAINING_PANELS, plots_dir / "training.png", repeats)
    html = page(
        content,
        list(results.values()),
        read_takes(folders, results),
        curves,
        TRAINING_PANELS,
        read_index(layout.clips_dir),
        read_rejects(layout.clips_dir),
        context.params.profile,
        rerun_commands(context.params, layout),
    )
    atomic.write_text(context.output_dir / PAGE, html)
    texts = [context.output_dir / name for name in (PAGE, "comparison.md", "comparison.csv")]
    for path in (plots_dir, *texts, layout.comparison_path):
        context.tracker.log_artifact(path)
    logger.info("\n%s", summary.rstrip())
    withheld = {"withheld": content["fitness"]["text"]} if is_unfit else {}
    return {row["variant"]: {key: row[key] for key in ("lse_d", "lse_c", "fid")} for row in content["rows"]} | withheld


if __name__ == "__main__":
    raise SystemExit(main())
