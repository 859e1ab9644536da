"""The folder in which ``train-judge`` runs the stages."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.cli.judge import VALUES, prepare_judge_folder
from pipeline.core.errors import UserError
from pipeline.core.layout import CODE_ROOT
from pipeline.params import load_params
from pipeline.params.sharing import require_sharing_allowed


def test_the_stages_accept_the_folder_of_a_judge(tmp_path: Path) -> None:
    layout = prepare_judge_folder(tmp_path, tmp_path / "clips")
    params = load_params(layout.params_path)
    assert params.dataset.folder.root == str(tmp_path / "clips")
    assert params.train_evaluator.num_steps == VALUES["train_evaluator.num_steps"]
    require_sharing_allowed(tmp_path / "dvc.yaml", params)  # every stage begins with this check


@pytest.mark.parametrize("names", [("params.yaml", "dvc.yaml"), ("params.yaml",), ("dvc.yaml",), ("README.md",)])
def test_a_folder_with_other_files_is_refused_and_kept(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        shutil.copy(CODE_ROOT / name, tmp_path)
    with pytest.raises(UserError, match="name a new FOLDER"):
        prepare_judge_folder(tmp_path, tmp_path / "clips")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        name: (CODE_ROOT / name).read_bytes() for name in names
    }


def test_an_interrupted_command_continues_in_its_folder_even_if_it_was_moved(tmp_path: Path) -> None:
    prepare_judge_folder(tmp_path / "first", tmp_path / "first" / "clips")
    (tmp_path / "first" / "clips").mkdir()
    (tmp_path / "first").rename(tmp_path / "moved")
    layout = prepare_judge_folder(tmp_path / "moved", tmp_path / "moved" / "clips")
    assert load_params(layout.params_path).dataset.folder.root == str(tmp_path / "moved" / "clips")
