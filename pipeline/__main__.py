"""``python -m pipeline``: the command line of `pipeline.cli.main`."""

from pipeline.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
