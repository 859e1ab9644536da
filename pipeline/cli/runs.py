"""The command on MLflow runs: ``sync-runs`` sends records that wait on this disk."""

from __future__ import annotations

import typer

from pipeline.cli.errors import user_errors
from pipeline.core.layout import Layout, find_root


def sync_runs() -> None:
    """Send the records of MLflow runs that wait on this disk because MLflow could not be used.

    The next stage does so too. Records of a running stage are left to it. Exit code 75 if MLflow still cannot be used;
    the message names the cause and the remedy.
    """
    with user_errors():
        from pipeline.tracking.comparison import complete_present_comparison
        from pipeline.tracking.delivery import send_left_runs
        from pipeline.tracking.tracker import open_described_run

        layout = Layout(find_root())
        if num := send_left_runs(layout, open_described_run):
            complete_present_comparison(layout)
    typer.echo(f"sent the records of {num} stages to MLflow" if num else "no records wait on this disk")
