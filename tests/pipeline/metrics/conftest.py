"""The FID weights where this checkout has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.inference.pretrained import INCEPTION

WEIGHTS_DIR = Path(__file__).parents[3] / "weights"


@pytest.fixture(scope="session")
def inception_path() -> Path:
    path = WEIGHTS_DIR / INCEPTION.name
    if not path.is_file():
        pytest.skip(f"needs {path}; `python -m pipeline weights fetch` gets it")
    return path
