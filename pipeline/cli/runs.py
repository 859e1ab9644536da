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
        from pipeline.tracking.delivery import send_left_runs
        from pipeline.tracking.tracker import open_described_run

        num = send_left_runs(Layout(find_root()), open_described_run)
    typer.echo(f"sent the records of {num} stages to MLflow" if num else "no records wait on this disk")
