"""``python -m pipeline.tracking``: updates artifact addresses of a moved checkout before the MLflow UI starts.

`make ui` serves the checkout's own store and ignores MLFLOW_TRACKING_URI, and so does this module.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Sequence

from pipeline.core.command_line import code_of, run_command
from pipeline.core.errors import TemporaryError
from pipeline.core.layout import Layout, find_root
from pipeline.core.logs import log_to_stderr
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
    return code_of(_adopt, logger)


def _adopt() -> int:
    try:
        update_artifact_addresses(Layout(find_root()))
    except sqlite3.OperationalError as error:  # another program writes to it for longer than sqlite waits
        raise TemporaryError(
            f"mlflow.db cannot be updated: {error}; close other programs that use it, then try again"
        ) from error
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
