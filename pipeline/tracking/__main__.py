"""``python -m pipeline.tracking``: updates artifact addresses of a moved checkout before the MLflow UI starts.

`make ui` serves the checkout's own store and ignores MLFLOW_TRACKING_URI, and so does this module.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from pipeline.core.command_line import run_command
from pipeline.core.errors import LipsmithError
from pipeline.core.layout import Layout, find_root
from pipeline.core.logs import log_to_stderr
from pipeline.tracking.store import adopt_artifacts


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(_command, argv, "python -m pipeline.tracking")


def _command() -> int:
    """Correct the artifact locations in the MLflow store of a checkout that was moved or copied.

    `make ui` runs this before it starts MLflow's page. It takes no options.
    """
    log_to_stderr()
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    try:
        adopt_artifacts(Layout(find_root()))
    except LipsmithError as error:
        logging.getLogger(__name__).error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
