"""``python -m tests.support.help_pages NAME ...`` prints the help of each module in one process.

A process for each would import the same packages again. Raises AssertionError for a module that does not exit with 0.
"""

from __future__ import annotations

import runpy
import sys
import warnings


def main(names: list[str]) -> None:
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="runpy")  # a module may be imported already
    for name in names:
        sys.argv = [name, "--help"]
        try:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            assert ended.code == 0, (name, ended.code)


if __name__ == "__main__":
    main(sys.argv[1:])
