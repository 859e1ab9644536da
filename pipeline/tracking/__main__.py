"""``python -m pipeline.tracking``: updates artifact addresses of a moved checkout before the MLflow UI starts.

`make ui` serves the checkout's own store and ignores MLFLOW_TRACKING_URI, and so does this module.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Sequence

from pipeline.core.command_line import reported, run_command
from pipeline.core.errors import TemporaryError, UserError
from pipeline.core.layout import Layout, find_root
from pipeline.core.logs import log_to_stderr, wants_tracebacks
from pipeline.tracking.store import update_artifact_addresses

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(_command, argv, "python -m pipeline.tracking")


def _command() -> int:
    """Correct the artifact locations in the MLflow store of a checkout that was moved or copied.

    `make ui` runs this before it starts MLflow's page. It takes no options.
    """
    log_to_stderr()
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    return reported(_update_store, lambda error: logger.error("%s", error, exc_info=wants_tracebacks()))


def _update_store() -> int:
    layout = Layout(find_root())
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
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
