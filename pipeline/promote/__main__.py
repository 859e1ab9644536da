"""``python -m pipeline.promote``: the gate, by hand."""

from pipeline.promote.champion import main

if __name__ == "__main__":
    raise SystemExit(main())
