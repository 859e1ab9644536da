"""One run of ``doctor``: examine environment and data, write the report and its pictures, log them to MLflow."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.core import atomic
from pipeline.core.errors import UserError
from pipeline.core.layout import Layout
from pipeline.doctor.check import Check, Status, fail, failure_of, warn
from pipeline.doctor.environment import check_environment
from pipeline.doctor.report import DataPart, Examination, doctor_markdown
from pipeline.params import Params, ParamsError, load_params

STAGE = "doctor"
REPORT, SHEET, DISTRIBUTIONS = "report.md", "contact_sheet.png", "distributions.png"
DATA = "data"


def examine(layout: Layout) -> Examination:
    """Examine environment and data, and write ``artifacts/doctor``. Errors on the way become failed checks."""
    try:
        params = load_params(layout.params_path)
    except ParamsError:
        params = None  # `check_params` reports why
    checks = check_environment(layout, params)
    folder = layout.stage_dir(STAGE)
    for name in (REPORT, SHEET, DISTRIBUTIONS):  # of an earlier run
        with suppress(OSError):  # `check_disk` reports folders that are not writable
            (folder / name).unlink()
    try:
        data_checks, part = _examine_data(layout, params)
    except UserError as error:
        remedy = "run `dvc repro preprocess` to list and preprocess the clips"
        data_checks, part = [warn(DATA, str(error), remedy)], None
    except Exception as error:  # damaged tables, a broken package, a bug: the environment's checks are still useful
        data_checks, part = [failure_of(DATA, error)], None
    found = Examination([*checks, *data_checks], params, part)
    try:
        atomic.write_text(folder / REPORT, doctor_markdown(found))
    except OSError as error:
        problem = fail("report", f"cannot be written: {error}", "free disk space, or make the folder writable")
        found = Examination([*found.checks, problem], params, part)
    return found


def _examine_data(layout: Layout, params: Params | None) -> tuple[list[Check], DataPart]:
    """Check and describe the data. Raises UserError, with the command to run, if there are no data."""
    from pipeline.doctor.advice import hints
    from pipeline.doctor.data import numbers, read_survey, sum_check
    from pipeline.doctor.data_report import data_markdown
    from pipeline.doctor.sheet import draw_sheet, middle_frames, worst_lines

    survey = read_survey(layout)
    lines = worst_lines(survey)

    def distributions(path: Path) -> None:
        from pipeline.doctor.distributions import plot_distributions

        plot_distributions(survey, path)

    def sheet(path: Path) -> None:
        pictures = middle_frames(survey.folder, (row for line in lines for row, _ in line.clips))
        draw_sheet(lines, pictures, len(survey.kept), path)

    checks, drawn = [sum_check(DATA, survey)], []
    if survey.has_old_sync_check:
        found = f"{layout.clips_dir} belongs to earlier shards; this report describes the present data/shards instead"
        checks.append(warn("sync check", found, "run `dvc repro sync_filter`"))
    drawings: dict[str, Callable[[Path], None]] = {DISTRIBUTIONS: distributions, SHEET: sheet}
    for name, draw in drawings.items() if survey.kept else ():
        path = layout.stage_dir(STAGE) / name
        try:
            draw(path)
        except Exception as error:  # a damaged shard, a full disk, a bug
            checks.append(failure_of(name, error, "fix the cause and run doctor again; the report lacks this picture"))
        else:
            drawn.append(path)
    paragraphs = data_markdown(survey, params, lines, drawn)
    return checks, DataPart(paragraphs, hints(survey, params), numbers(survey), survey.digest)


def track(found: Examination, layout: Layout) -> str:
    """Log the report to the MLflow run ``doctor``, one run per state of the data. Return a message on the outcome."""
    mlflow = next((check for check in found.checks if check.name == "MLflow"), None)
    if found.params is None or mlflow is None or mlflow.status is not Status.OK:
        return f"not logged: {'params.yaml' if found.params is None else 'MLflow'} cannot be used"
    from pipeline.tracking.tracker import open_tracker

    digest = found.data.digest if found.data else hashlib.sha256(b"no data").hexdigest()
    with open_tracker(layout, STAGE, None, found.params, digest[:16], _settings(found.params)) as tracker:
        tracker.log_summary(STAGE, figures(found))
        tracker.log_artifact(layout.stage_dir(STAGE))
    if tracker.run_id is None:
        return "not logged: the warning above has the cause; `python -m pipeline sync-runs` sends records that wait"
    return f"logged: run {STAGE} of experiment lipsmith-{found.params.dataset.source}"


def figures(found: Examination) -> dict[str, float]:
    """The metrics for MLflow: the number of checks per status, and the metrics of the data."""
    checks = {f"num_checks_{status.value}": float(found.num_of[status]) for status in Status}
    return checks | dict(found.data.figures if found.data else {})


def _settings(params: Params) -> dict[str, Any]:
    plain = params.model_dump(mode="json")
    return {"dataset": {"source": params.dataset.source}, "preprocess": plain["preprocess"]}
