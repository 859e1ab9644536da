"""Settings of the clips that are scored."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.params import PreprocessParams, load_params


@pytest.fixture
def params(repo_root: Path) -> PreprocessParams:
    return load_params(repo_root / "params.yaml").preprocess
