"""The checkout that contains a folder, its paths, and those of the temporary copies that DVC makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.core.layout import Layout, find_root


def make_checkout(folder: Path) -> Path:
    folder.mkdir()
    for name in ("params.yaml", "dvc.yaml"):
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("name", ["plain", "with space", "a#b", "a%41b", "ü[1]"])
def test_the_nearest_folder_with_both_files_is_the_checkout(tmp_path: Path, name: str) -> None:
    root = make_checkout(tmp_path / name)
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "dvc.yaml").touch()
    assert find_root(root / "a" / "b") == root


def test_without_a_checkout_or_with_a_question_mark_in_its_path_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run this inside a lipsmith checkout"):
        find_root(tmp_path)
    root = make_checkout(tmp_path / "which?")
    with pytest.raises(UserError, match=r"contains a question mark.*MLflow.*rename the folder"):
        find_root(root)


@pytest.mark.parametrize("below", ["tmpabc", "standalone/tmpabc"])
def test_a_temporary_copy_uses_the_store_the_weights_and_the_downloads_of_its_checkout(
    tmp_path: Path, below: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LIPSMITH_WEIGHTS_DIR", raising=False)
    copy, checkout = Layout(tmp_path / ".dvc" / "tmp" / "exps" / below), Layout(tmp_path)
    assert copy.home == tmp_path and checkout.home == tmp_path
    assert copy.mlflow_db_path == checkout.mlflow_db_path
    assert copy.weights_dir == checkout.weights_dir
    assert copy.downloads_dir == checkout.raw_dir
    for path in ("manifest_path", "artifacts_dir", "scratch_dir", "raw_dir"):
        assert getattr(copy, path).is_relative_to(copy.root), path


def test_the_manifests_paths_start_in_the_copy_only_if_it_rendered_its_own_clips(tmp_path: Path) -> None:
    copy = Layout(tmp_path / ".dvc" / "tmp" / "exps" / "tmpabc")
    assert copy.clips_root == tmp_path
    copy.raw_dir.mkdir(parents=True)
    assert copy.clips_root == copy.root


def test_a_users_path_is_found_in_the_copy_then_in_its_checkout(tmp_path: Path) -> None:
    copy = Layout(tmp_path / ".dvc" / "tmp" / "exps" / "tmpabc")
    copy.root.mkdir(parents=True)
    name = Path("pairs.txt")
    assert copy.find(name) == tmp_path / name
    (copy.root / name).touch()
    assert copy.find(name) == copy.root / name
    assert copy.find(tmp_path / "a") == tmp_path / "a"


def test_a_checkout_without_copies_is_its_own_home() -> None:
    layout = Layout(Path())
    assert layout.home == Path() and layout.clips_root == Path()
