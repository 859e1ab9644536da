"""``python -m pipeline.promote``: runs the promotion gate."""

from pipeline.core.signals import exit_on_signals
from pipeline.promote.champion import main

if __name__ == "__main__":
    exit_on_signals()
    raise SystemExit(main())
