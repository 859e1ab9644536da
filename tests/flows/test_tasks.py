"""The tasks that run a module of the pipeline, with a process that does not start."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows import tasks
from pipeline.core.errors import LipsmithError, TemporaryError
from pipeline.core.layout import Layout

MODULES: dict[str, tuple[Callable[[Path], dict[str, Any]], str, list[str]]] = {
    "pipeline.corpora.drift": (tasks.measure_drift.fn, "drift_path", []),
    "pipeline.promote": (lambda root: tasks.gate.fn(root, "lstm_cbam"), "decision_path", ["--variant", "lstm_cbam"]),
}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_run_for_the_checkout_and_its_file_is_read(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, written, arguments = MODULES[module]
    path: Path = getattr(Layout(tmp_path), written)
    commands: list[list[str]] = []

    def stream(command: list[str], cwd: Path, on_line: Callable[[str], None], _environment: object) -> int:
        commands.append(command[1:])
        on_line("100 % of the clips")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"text": "found"}))
        return 0

    monkeypatch.setattr(tasks, "stream", stream)
    assert run(tmp_path) == {"text": "found"}
    assert commands == [["-m", module, *arguments, "--root", str(tmp_path)]]


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize(
    ("code", "meaning"), [(3, "exited with 3"), (75, "exited with 75"), (-15, "was ended by SIGTERM (exit code -15)")]
)
def test_a_module_that_fails_is_named_with_the_meaning_of_its_code_and_its_output(
    module: str, code: int, meaning: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stream(command: list[str], cwd: Path, on_line: Callable[[str], None], _environment: object) -> int:
        on_line("the clips are missing")
        return code

    monkeypatch.setattr(tasks, "stream", stream)
    with pytest.raises(LipsmithError) as caught:
        MODULES[module][0](tmp_path)
    assert str(caught.value) == f"{module} failed: it {meaning}\nthe clips are missing"
    assert isinstance(caught.value, TemporaryError) is (code == 75)
