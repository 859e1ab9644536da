"""``python -m pipeline``: the list of commands. Commands import heavy packages when they run."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from pipeline.cli.app import serve_app
from pipeline.cli.checkout import doctor, profile, share, verify
from pipeline.cli.dub import dub
from pipeline.cli.dub_many import DUB_MANY_EPILOG, dub_many
from pipeline.cli.dub_texts import DUB_EPILOG
from pipeline.cli.export import export
from pipeline.cli.judge import train_judge
from pipeline.cli.models import adopt, freeze_scorer
from pipeline.cli.registry import list_models, promote_model, roll_back, show_model
from pipeline.cli.runs import sync_runs
from pipeline.cli.score import score, score_model
from pipeline.cli.weights import fetch_weights
from pipeline.core.command_line import plain_app, run_app
from pipeline.core.logs import log_to_stderr

EPILOG = """\
\b
The pipeline itself runs through DVC and Prefect:
  dvc repro                              every stage whose inputs changed
  dvc repro train_gan@lstm_cbam          one stage and all stages upstream of it
  python -m flows.reproduce [--plan]     the same graph as a Prefect flow; --plan prints what would run and why
  python -m flows.retrain                detect new clips, reproduce, compare with the champion, promote
  make serve                             retrain every night (runtime.retrain_cron), with a Prefect server
  python -m pipeline.promote --variant V --force    make V's model the champion even if a rule fails
  make ui                                the MLflow page with the runs: http://127.0.0.1:5000
\b
Stages; each can be run alone with python -m pipeline.stages.NAME:
  code  download  preprocess  sync_filter  train_syncnet  train_evaluator  train_gan --variant V
  evaluate --variant V  compare
"""

app = plain_app("Train, evaluate and compare lip-sync models on clips of talking faces.", EPILOG)
app.command()(profile)
app.command(epilog=DUB_EPILOG)(dub)
app.command()(export)
app.command("dub-many", epilog=DUB_MANY_EPILOG)(dub_many)
app.command("app")(serve_app)
app.command()(score)
app.command("score-model")(score_model)
app.command()(adopt)
app.command("freeze-scorer")(freeze_scorer)
app.command("train-judge")(train_judge)
app.command()(share)
app.command()(verify)
app.command()(doctor)
app.command("sync-runs")(sync_runs)
weights_app = plain_app("Download published weights: `weights fetch [NAME]`.")
weights_app.command("fetch")(fetch_weights)
app.add_typer(weights_app, name="weights")
models_app = plain_app("Registered models: `models list`, `models show`, `models promote` and `models rollback`.")
models_app.command("list")(list_models)
models_app.command("show")(show_model)
models_app.command("promote")(promote_model)
models_app.command("rollback")(roll_back)
app.add_typer(models_app, name="models")


@app.callback()
def before_any_command() -> None:
    log_to_stderr()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (None: ``sys.argv``) and return its exit code."""
    try:
        return run_app(app, argv, "python -m pipeline")
    except KeyboardInterrupt:
        typer.echo("Aborted!", err=True)
        return 1
