"""A stage that has no options runs only when it is asked to run."""

from __future__ import annotations

import importlib

import pytest

from pipeline import stage

STAGES = ("download", "preprocess", "sync_filter", "train_syncnet", "train_evaluator", "compare")


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("--bogus", 2), ("extra", 2)])
def test_help_and_unknown_options_run_nothing(
    name: str, argument: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stage, "_run_body", lambda *_: pytest.fail("the stage ran"))
    module = importlib.import_module(f"pipeline.stages.{name}")
    with pytest.raises(SystemExit) as ended:
        module.main([argument])
    assert ended.value.code == code
    said = capsys.readouterr()
    assert "params.yaml has them all" in said.out if code == 0 else argument in said.err
