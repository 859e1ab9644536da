"""A folder of source clips among the outputs, which DVC would remove."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline import stage
from pipeline.core.layout import Layout
from pipeline.params import ParamsError, load_params
from pipeline.params.clip_roots import require_clips_outside_outputs


def check(checkout: Path, repo_root: Path, root: str) -> None:
    params = load_params(repo_root / "params.yaml")
    folder = params.dataset.folder.model_copy(update={"root": root})
    dataset = params.dataset.model_copy(update={"source": "folder", "folder": folder})
    require_clips_outside_outputs(params.model_copy(update={"dataset": dataset}), Layout(checkout))


@pytest.mark.parametrize("root", ["data/clips", "data/raw/../shards/anna", "artifacts", "{checkout}/.scratch/videos"])
def test_a_root_among_the_outputs_is_refused(tmp_path: Path, repo_root: Path, root: str) -> None:
    given = root.format(checkout=tmp_path)
    with pytest.raises(ParamsError, match=r"dataset\.folder\.root is .* removes everything in it") as error:
        check(tmp_path, repo_root, given)
    assert given in str(error.value)


def test_a_link_to_an_output_is_refused(tmp_path: Path, repo_root: Path) -> None:
    (tmp_path / "data" / "clips").mkdir(parents=True)
    (tmp_path / "mine").symlink_to(tmp_path / "data" / "clips")
    with pytest.raises(ParamsError, match="root is mine"):
        check(tmp_path, repo_root, "mine")


@pytest.mark.parametrize("root", ["data/videos", "data", "data/clips2", "/videos", "s3://bucket/data/clips"])
def test_other_roots_are_allowed(tmp_path: Path, repo_root: Path, root: str) -> None:
    check(tmp_path, repo_root, root)


def test_a_stage_does_not_start_with_such_a_root(
    tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(repo_root / "dvc.yaml", tmp_path)
    text = (repo_root / "params.yaml").read_text().replace("source: demo", "source: folder")
    head, _, rest = text.partition("  folder:")
    (tmp_path / "params.yaml").write_text(f"{head}  folder:{rest.replace('root: null', 'root: data/clips', 1)}")
    monkeypatch.chdir(tmp_path)
    assert stage.run("download", lambda context: pytest.fail("the stage has started")) == 2
    assert "dataset.folder.root is data/clips" in caplog.text
