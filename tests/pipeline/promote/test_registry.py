"""A registry without versions: the errors name the command that registers one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipeline.promote.gate import GateOutcome
from pipeline.promote.registry import Registry
from pipeline.promote.version_files import RegistryError

REMEDY = r"`python -m pipeline\.promote` or `python -m flows\.retrain` registers the trained model"


@pytest.fixture
def empty() -> Registry:
    client = SimpleNamespace(search_registered_models=lambda *_: [], search_model_versions=lambda *_: [])
    return Registry(cast(Any, client))


@pytest.mark.parametrize("name", ["champion", "1"])
def test_a_version_that_is_looked_up(empty: Registry, name: str) -> None:
    with pytest.raises(RegistryError, match=f"no version of lipsmith-generator is registered; {REMEDY}"):
        empty.find(name)


def test_an_alias_that_a_dub_asks_for(empty: Registry) -> None:
    with pytest.raises(RegistryError, match=rf"has no champion \(aliases: none yet\); {REMEDY}"):
        empty.aliased("champion")


@pytest.mark.parametrize(
    ("outcome", "changes"),
    [
        ("already_champion", []),
        ("refused", [("challenger", "3")]),
        ("promoted", [("previous", "1"), ("champion", "3"), ("challenger", None)]),
    ],
)
def test_only_a_promotion_ends_the_challenger(outcome: GateOutcome, changes: list[tuple[str, str | None]]) -> None:
    """B, version 2, was refused. If the champion is then trained again, B is still the last challenger."""
    moved: list[tuple[str, str | None]] = []
    client = SimpleNamespace(
        search_registered_models=lambda *_: [SimpleNamespace(aliases={"champion": 1, "challenger": 2})],
        set_registered_model_alias=lambda _, alias, version: moved.append((alias, version)),
        delete_registered_model_alias=lambda _, alias: moved.append((alias, None)),
    )
    Registry(cast(Any, client)).move_aliases("1" if outcome == "already_champion" else "3", "1", outcome)
    assert moved == changes
