"""The checkout that contains a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.core.layout import find_root


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
