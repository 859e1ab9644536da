"""Why stages are stale, and the plan of a run."""

from __future__ import annotations

import pytest

from flows import dvc, staleness


def test_reasons_name_parameters_files_and_commands() -> None:
    entries = [
        {"changed deps": {"x.py": "modified", "params.yaml": {"gan.width": "modified"}}},
        {"changed outs": {"model": "deleted"}},
        "changed command",
    ]
    assert (
        staleness.explain(entries)
        == "x.py modified, parameter gan.width modified, output model deleted, changed command"
    )
    assert staleness.explain(entries, has_run=False) == "has not run in this checkout"
    many = [{"changed deps": {f"f{i}": "modified" for i in range(6)}}]
    assert staleness.explain(many).endswith("f3 modified, and 2 more")


def test_the_plan_separates_stages_that_run_from_stages_that_follow() -> None:
    graph = dvc.StageGraph({"a": (), "b": ("a",), "c": ("b",), "d": ()})
    rows = staleness.plan(graph, {"b": "parameter x modified"})
    assert [(r.stage, r.action, r.reason) for r in rows] == [
        ("a", "-", "up to date"),
        ("d", "-", "up to date"),
        ("b", "run", "parameter x modified"),
        ("c", "follow", "after b"),
    ]


@pytest.mark.parametrize(
    ("reasons", "is_only_code"),
    [
        ({"code": "always changed", "b": "code changed: faces.track, faces.smooth"}, True),
        ({"b": "code changed: faces.track, code changed", "c": "code changed"}, True),
        ({"b": "code changed: faces.track, parameter gan.width modified"}, False),
        ({"b": "code changed: faces.track, data/clips modified"}, False),
        ({"b": "code changed", "c": "has not run in this checkout"}, False),
        ({"code": "always changed"}, False),
        ({}, False),
    ],
)
def test_an_upgrade_is_a_change_of_code_alone(reasons: dict[str, str], is_only_code: bool) -> None:
    graph = dvc.StageGraph({"code": (), "b": ("code",), "c": ("b",)})
    assert staleness.only_code_changed(staleness.plan(graph, reasons)) is is_only_code
