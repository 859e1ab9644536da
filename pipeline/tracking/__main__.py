"""``python -m pipeline.tracking``: shows the runs of a checkout in MLflow's page. `make ui` calls it.

It serves the checkout's own store and ignores MLFLOW_TRACKING_URI.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Sequence
from typing import Annotated

import typer

from pipeline.core.command_line import reported, run_command
from pipeline.core.errors import TemporaryError, UserError
from pipeline.core.layout import Layout, find_root
from pipeline.core.logs import log_to_stderr, wants_tracebacks
from pipeline.core.signals import exit_on_signals
from pipeline.tracking.store import update_artifact_addresses
from pipeline.tracking.ui import PORT, serve

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(_command, argv, "python -m pipeline.tracking")


def _command(
    port: Annotated[int, typer.Option(help="Port of the page.", min=1, max=65535)] = PORT,
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the address only. Open no browser.")] = False,
) -> int:
    """Serve the MLflow page of this checkout on the loopback interface, and open it at the latest comparison.

    Before that, the addresses of artifacts are corrected if the checkout was moved or copied.
    """
    log_to_stderr()
    os.environ.pop("MLFLOW_TRACKING_URI", None)

    def body() -> int:
        layout = Layout(find_root())
        _update_store(layout)
        return serve(layout, port, opens=not no_open)

    return reported(body, lambda error: logger.error("%s", error, exc_info=wants_tracebacks()))


def _update_store(layout: Layout) -> None:
    try:
        update_artifact_addresses(layout)
    except sqlite3.OperationalError as error:
        raise TemporaryError(
            f"{layout.mlflow_db_path} cannot be updated: {error}; close other programs that use it, then try again"
        ) from error
    except sqlite3.DatabaseError as error:
        raise UserError(
            f"{layout.mlflow_db_path} is damaged: {error}; restore it from a copy, or remove it and lose its runs"
        ) from error


if __name__ == "__main__":
    exit_on_signals()
    raise SystemExit(main())
