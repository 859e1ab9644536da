"""The summary of a dub as a reader of Python code meets it: its repr, and the description of its fields."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from pathlib import Path

import pytest

from pipeline.dubbing import DubbedFace, DubSummary, ListedFace, PhaseProgress
from tests.support.dub_runs import summary_of

DOCS = Path(__file__).resolve().parents[3] / "docs" / "dubbing.md"
FACE = DubbedFace(number=1, num_frames=50, start_s=0.0, end_s=2.0, box_px=(1, 2, 3, 4))


def test_the_repr_of_a_summary_has_a_field_a_line_and_is_python():
    summary = dataclasses.replace(summary_of(Path("out.mp4"), 75, FACE), notes=("clip.mp4: a note", "a limit"))
    lines = repr(summary).splitlines()
    assert lines[0] == "DubSummary("
    assert lines[2] == "    num_frames=75,"
    assert max(map(len, lines)) < 120
    assert [line for line in lines if "note" in line] == ["    notes=(", "        'clip.mp4: a note',"]
    names = {"DubSummary": DubSummary, "DubbedFace": DubbedFace, "PosixPath": Path, "WindowsPath": Path}
    assert eval(repr(summary), names) == summary
    without = dataclasses.replace(summary, faces=(), notes=())
    assert "    faces=(),\n" in repr(without) and eval(repr(without), names) == without


@pytest.mark.parametrize("described", [DubSummary, DubbedFace, ListedFace, PhaseProgress])
def test_every_field_is_described_in_the_docs_and_in_the_code(described):
    rows = DOCS.read_text().split(f"| field of `{described.__name__}` |")[1].split("\n\n")[0]
    (definition,) = ast.parse(inspect.getsource(described)).body
    assert isinstance(definition, ast.ClassDef)
    for field in dataclasses.fields(described):
        assert f"`{field.name}`" in rows
    for node, after in zip(definition.body, [*definition.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign):
            assert isinstance(after, ast.Expr), ast.unparse(node)
    if described is DubSummary:
        assert "`duration_s`" in rows
