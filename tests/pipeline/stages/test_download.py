"""Stage ``download``: the minimum number of clips per split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.core.errors import DataError
from pipeline.core.layout import Layout
from pipeline.corpora.manifest import ClipRecord, read_manifest
from pipeline.params import load_params
from pipeline.stage import StageContext
from pipeline.stages import download
from pipeline.tracking.tracker import Tracker


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (["train", "val", "test"], "the test split has 1 of 3 clips and needs at least 2"),
        (["train", "train", "test", "test"], "the val split has 0 of 4 clips and needs at least 1"),
        (["train", "val", "test", "test"], None),
    ],
)
def test_every_split_needs_a_minimum_of_clips(
    splits: list[str], message: str | None, tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [ClipRecord(str(number), "s", split, "", 0, "", "") for number, split in enumerate(splits)]
    monkeypatch.setattr(download, "list_clips", lambda params, layout: records)
    layout = Layout(tmp_path)
    params = load_params(repo_root / "params.yaml")
    context = StageContext("download", None, params, layout, Tracker(None, None), "0" * 16, tmp_path)
    if message is None:
        assert download._body(context)["num_test_clips"] == 2
        assert read_manifest(layout.manifest_path) == records
        return
    with pytest.raises(DataError, match=rf"{message}; check dataset\.demo\.[\w, ]+ in params\.yaml$"):
        download._body(context)
    assert not layout.manifest_path.exists()
    by_speaker = params.dataset.demo.model_copy(update={"split_by": "speaker"})
    dataset = params.dataset.model_copy(update={"demo": by_speaker})
    with pytest.raises(DataError, match=r"split_by is speaker, which needs at least 3 speakers, and 1 were found"):
        download._body(replace(context, params=params.model_copy(update={"dataset": dataset})))
