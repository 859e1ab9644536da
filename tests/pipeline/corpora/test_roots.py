"""The folder of a published corpus."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.layout import Layout
from pipeline.corpora.folder import list_folder_clips
from pipeline.corpora.roots import corpus_root
from pipeline.params import load_params


def test_a_relative_root_starts_at_the_checkout(
    tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    (tmp_path / "clips" / "anna").mkdir(parents=True)
    (tmp_path / "clips" / "anna" / "a.mp4").write_bytes(b"a")
    params = load_params(repo_root / "params.yaml")

    grid = params.dataset.grid.model_copy(update={"root": Path("clips")})
    dataset = params.dataset.model_copy(update={"source": "grid", "grid": grid})
    assert corpus_root(params.model_copy(update={"dataset": dataset}), Layout(tmp_path)) == tmp_path / "clips"

    folder = params.dataset.folder.model_copy(update={"root": "clips"})
    (clip,) = list_folder_clips(folder, seed=0, start=tmp_path)
    assert Path(clip.path) == tmp_path / "clips" / "anna" / "a.mp4"
