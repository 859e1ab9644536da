"""Exports of generators that a dub with ONNX Runtime keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.model_files import MODEL_NAME
from pipeline.inference import onnx_export, onnx_generator, runtimes


def test_exports_are_kept_up_to_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = []

    def export(folder: Path, path: Path) -> None:
        exported.append(folder.name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(40))

    monkeypatch.setattr(onnx_export, "export_onnx", export)
    monkeypatch.setattr(onnx_generator, "OnnxGenerator", lambda path, *_: path)
    monkeypatch.setattr(runtimes, "MAX_EXPORTS_BYTES", 100)
    for name in "abac":
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / MODEL_NAME).write_text(name)
        runtimes.load_generator(tmp_path / name, "cpu", "onnx", 1, tmp_path / "exports")
    assert exported == ["a", "b", "c"]
    for name in "ca":
        runtimes.load_generator(tmp_path / name, "cpu", "onnx", 1, tmp_path / "exports")
    assert exported == ["a", "b", "c"]
    runtimes.load_generator(tmp_path / "b", "cpu", "onnx", 1, tmp_path / "exports")
    assert exported == ["a", "b", "c", "b"]
    assert len(list((tmp_path / "exports").iterdir())) == 2
