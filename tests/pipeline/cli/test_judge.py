"""The folder in which ``train-judge`` runs the stages."""

from __future__ import annotations

from pathlib import Path

from pipeline.cli.judge import VALUES, prepare_judge_folder
from pipeline.params import load_params
from pipeline.params.sharing import require_sharing_allowed


def test_the_stages_accept_the_folder_of_a_judge(tmp_path: Path) -> None:
    layout = prepare_judge_folder(tmp_path, tmp_path / "clips")
    params = load_params(layout.params_path)
    assert params.dataset.folder.root == str(tmp_path / "clips")
    assert params.train_evaluator.num_steps == VALUES["train_evaluator.num_steps"]
    require_sharing_allowed(tmp_path / "dvc.yaml", params)  # every stage begins with this check
