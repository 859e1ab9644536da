"""``python -m pipeline models``: the versions of the registered model, and which of them is the champion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.errors import user_errors
from pipeline.core.layout import Layout, find_root

if TYPE_CHECKING:
    from pipeline.promote.registry import Registry

VersionName = Annotated[str, typer.Argument(metavar="VERSION", help="Number or alias of a version.")]
_SCORES = {"lse_d": ".3f", "lse_c": ".3f", "fid": ".2f"}


def list_models() -> None:
    """List the registered versions, the newest first, with their aliases and scores."""
    from pipeline.report.tables import Table

    with _opened() as registry:
        found = registry.versions()
        if not found:
            typer.echo("no version is registered; `python -m flows.retrain` or `python -m pipeline.promote` does it")
            return
        cells = [
            [
                str(version.version),
                ", ".join(sorted(version.aliases)) or "-",
                version.tags.get("variant", "-"),
                version.tags.get("git_commit", "-")[:7],
                _date(version.creation_timestamp),
                *(_score(version.tags, name) for name in _SCORES),
            ]
            for version in found
        ]
    header = ["version", "aliases", "variant", "commit", "registered (UTC)", "LSE-D", "LSE-C", "FID"]
    typer.echo(Table(header, cells, num_text=5).plain())


def show_model(version: VersionName) -> None:
    """Show a version: its scores, and the commit, data, parameters, evaluation and run it comes from."""
    from pipeline.promote.lineage import LINEAGE, REGISTERED_NAME
    from pipeline.report.tables import Table

    with _opened() as registry:
        found = registry.find(version)
        tags = dict(found.tags)
    lines = [
        ("version", f"{found.version} ({', '.join(sorted(found.aliases)) or 'no alias'})"),
        ("variant", tags.get("variant", "-")),
        ("registered", f"{_date(found.creation_timestamp)} UTC"),
        *((name.upper().replace("_", "-"), _score(tags, name)) for name in _SCORES),
        *((name, tags[tag]) for tag, name in LINEAGE.items() if tag in tags),
        ("address", f"models:/{REGISTERED_NAME}/{found.version}"),
    ]
    typer.echo(Table(["", ""], [list(line) for line in lines], num_text=2).plain())


def promote_model(version: VersionName) -> None:
    """Make a version the champion, without the gate.

    The champion before it gets the alias previous. `python -m pipeline.promote` runs the gate on the trained model.
    """
    with _opened() as registry:
        chosen, before = str(registry.find(version).version), registry.aliases().get("champion")
        if chosen == before:
            typer.echo(f"version {chosen} is already the champion, nothing changed")
            return
        registry.make_champion(chosen)
        _forget_drift_baseline()
    typer.echo(_moved(chosen, before))


def roll_back() -> None:
    """Make the previous champion the champion again.

    The two versions exchange their aliases, so a second rollback undoes the first.
    """
    with _opened() as registry:
        earlier, before = registry.aliased("previous"), registry.aliases().get("champion")
        registry.make_champion(earlier)
        _forget_drift_baseline()
    typer.echo(_moved(earlier, before))


def _forget_drift_baseline() -> None:
    """Remove the list of clips of the last promotion by the gate, since another version is the champion now."""
    Layout(find_root()).champion_manifest_path.unlink(missing_ok=True)


@contextmanager
def _opened() -> Iterator[Registry]:
    with user_errors():
        from pipeline.promote.registry import open_registry

        with open_registry(Layout(find_root())) as registry:
            yield registry


def _moved(version: str, before: str | None) -> str:
    was = f"; version {before} has the alias previous, and `python -m pipeline models rollback` returns to it"
    return f"version {version} is the champion{was if before else ''}"


def _score(tags: Mapping[str, Any], name: str) -> str:
    """A score in the tags of a version; a dash if it is missing, and for LSE of an evaluator that cannot judge it."""
    is_withheld = name != "fid" and bool(tags.get("unfit"))
    return f"{float(tags[name]):{_SCORES[name]}}" if name in tags and not is_withheld else "-"


def _date(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M}"
