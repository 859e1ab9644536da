from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = "from pipeline.core.logs import log_to_stderr; log_to_stderr(); import logging; logging.info('a line')"


@pytest.mark.parametrize(
    ("level", "lines"),
    [
        ("", ["a line"]),
        ("debug", ["a line"]),
        ("WARNING", []),
        (
            "VERBOSE",
            [
                "LIPSMITH_LOG_LEVEL is 'VERBOSE', which is not a log level; using INFO. "
                "Allowed: DEBUG, INFO, WARNING, ERROR, CRITICAL",
                "a line",
            ],
        ),
    ],
)
def test_the_level_is_that_of_the_environment_and_an_unknown_one_is_named(level: str, lines: list[str]) -> None:
    environment = os.environ | {"LIPSMITH_LOG_LEVEL": level}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == lines
