"""The folder of what the rows of a comparison share."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.evaluation import cache
from pipeline.evaluation.cache import open_cache


def test_changed_code_or_packages_get_an_empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "features.npz").touch()
    first = open_cache(tmp_path)
    first.mkdir()
    (first / "features.npz").touch()
    assert open_cache(tmp_path) == first and list((tmp_path / "cache").iterdir()) == [first]
    assert (first / "features.npz").exists()

    class Changed:
        def __init__(self, root: Path) -> None: ...

        def digest(self, stage: str) -> str:
            return "changed"

    with monkeypatch.context() as upgraded:
        upgraded.setattr(cache, "metric_package_versions", lambda: {"torch": "99"})
        assert open_cache(tmp_path) != first
    monkeypatch.setattr(cache, "Code", Changed)
    second = open_cache(tmp_path)
    assert second != first and not any((tmp_path / "cache").iterdir())
