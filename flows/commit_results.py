"""Commits the results of the champion and sends their files, as ``flows.retrain`` does after a promotion.

python -m flows.commit_results
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.command import run_flow_command
from flows.occupancy import occupying
from flows.retrain_report import saved_table
from flows.saved_results import save_results
from pipeline.core.artifacts import read_json
from pipeline.core.command_line import RootOption, run_command
from pipeline.core.errors import UserError
from pipeline.core.layout import Layout, find_root
from pipeline.params import load_params

_DECIDE = "`python -m pipeline.promote` decides on the model in the checkout"


def require_decision(layout: Layout) -> dict[str, Any]:
    """The gate's last decision, by which the model in the checkout is the champion.

    Raises UserError if there is none, if it was another one, or if the results in the checkout are of another model.
    """
    path = layout.decision_path
    decision: dict[str, Any] = read_json(path, _DECIDE)
    if decision["outcome"] not in ("promoted", "already_champion"):
        raise UserError(
            f"{path}: the gate's last decision is {decision['outcome']} ({decision['reason']}), and only the results "
            "of a champion are committed; `python -m pipeline.promote --force` promotes the model anyway"
        )
    compared = decision["challenger"]["model_sha256"]
    metrics_path = layout.metrics_path("evaluate", decision["variant"])
    scored = read_json(metrics_path).get("generator_sha256", "")
    if scored != compared:
        raise UserError(
            f"{metrics_path} is of model {scored[:12] or 'unknown'}, but the gate's last decision is on model "
            f"{compared[:12]}; {_DECIDE}"
        )
    return decision


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(_command, argv, "python -m flows.commit_results")


def _command(root: RootOption = None) -> int:
    """Commit the champion's results on the branch promote.branch of params.yaml, and run `dvc push`.

    flows.retrain does both after a promotion. This command is for a promotion by `python -m pipeline.promote --force`,
    and for a commit or push that failed. The gate's last decision must be that the model in the checkout is the
    champion. Exit code 0 if the results are committed and sent, 1 if they are not, 2 for an invalid argument, setting
    or file.
    """
    return run_flow_command(lambda: _save(find_root(root)))


def _save(checkout: Path) -> int:
    layout = Layout(checkout)
    branch = load_params(layout.params_path).promote.branch
    if branch is None:
        raise UserError(
            f"{layout.params_path}: promote.branch is null, so results are not committed; give it the name of a git "
            "branch, such as results"
        )
    with occupying(checkout, "commit_results"):
        saved = save_results(checkout, branch, require_decision(layout), lambda line: sys.stderr.write(f"{line}\n"))
    sys.stdout.write(f"{saved_table(saved)}\n")
    return 0 if saved.commit and saved.remote else 1


if __name__ == "__main__":
    raise SystemExit(main())
