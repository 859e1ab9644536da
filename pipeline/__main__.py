"""``python -m pipeline``: the command line of `pipeline.cli.main`."""

from pipeline.cli.main import app

if __name__ == "__main__":
    app(prog_name="python -m pipeline")
