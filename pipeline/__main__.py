"""``python -m pipeline``: the command line of `pipeline.cli.main`."""

from pipeline.cli.main import main
from pipeline.core.signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()
    raise SystemExit(main())
