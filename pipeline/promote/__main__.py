"""``python -m pipeline.promote``: runs the promotion gate."""

from pipeline.promote.champion import main

if __name__ == "__main__":
    raise SystemExit(main())
