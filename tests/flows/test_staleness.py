"""Why stages are stale, and the plan of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flows import dvc, staleness
from flows.staleness import StaleReason

CODE, OTHER = StaleReason(True, ("faces.track",)), StaleReason(others=("always changed",))


def test_reasons_name_parameters_files_and_commands() -> None:
    entries = [
        {"changed deps": {"x.py": "modified", "params.yaml": {"gan.width": "modified"}}},
        {"changed outs": {"model": "deleted"}},
        "changed command",
    ]
    shown = "x.py modified, parameter gan.width modified, output model deleted, changed command"
    assert str(staleness.explain(entries)) == shown
    assert str(staleness.explain(entries, has_run=False)) == "has not run in this checkout"
    many = [{"changed deps": {f"f{i}": "modified" for i in range(6)}}]
    assert str(staleness.explain(many)).endswith("f3 modified, and 2 more")


def test_changed_code_is_a_cause_of_its_own() -> None:
    code = {"changed deps": {"artifacts/code/compare.txt": "modified"}}
    both, alone = staleness.explain([code, "changed command"]), staleness.explain([code])
    assert [(r.is_code_only, str(r)) for r in (both, alone)] == [
        (False, "code changed, changed command"),
        (True, "code changed"),
    ]
    many = replace(alone, definitions=tuple("abcdef"), others=("data/clips modified",))
    assert str(many) == "code changed: a, b, c, d, and 2 more, data/clips modified"


def test_the_plan_separates_stages_that_run_from_stages_that_follow() -> None:
    graph = dvc.StageGraph({"a": (), "b": ("a",), "c": ("b",), "d": ()})
    rows = staleness.plan(graph, {"b": StaleReason(others=("parameter x modified",))})
    assert [(r.stage, r.action, r.reason) for r in rows] == [
        ("a", "-", "up to date"),
        ("d", "-", "up to date"),
        ("b", "run", "parameter x modified"),
        ("c", "follow", "after b"),
    ]


@pytest.mark.parametrize(
    ("reasons", "is_only_code"),
    [
        ({"code": OTHER, "b": CODE}, True),
        ({"b": CODE, "c": StaleReason(True)}, True),
        ({"b": replace(CODE, others=("parameter gan.width modified",))}, False),
        ({"b": CODE, "c": OTHER}, False),
        ({"b": CODE, "of another target": OTHER}, True),
        ({"code": OTHER}, False),
        ({}, False),
    ],
)
def test_an_upgrade_is_a_change_of_code_alone(reasons: dict[str, StaleReason], is_only_code: bool) -> None:
    graph = dvc.StageGraph({"code": (), "b": ("code",), "c": ("b",)})
    assert staleness.only_code_changed(graph, reasons) is is_only_code
