"""A packaged generator requires every package that its code imports."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from pipeline.promote.package import CODE_FOLDERS, REQUIREMENTS


def test_every_package_that_the_copied_code_imports_is_required(repo_root: Path) -> None:
    """Imports inside functions are left out: they are of optional features, or of packages that MLflow requires."""
    files = [path for folder in CODE_FOLDERS for path in (repo_root / folder).rglob("*.py")]
    imported = {name for path in files for name in _imported(ast.parse(path.read_bytes()).body)}
    others = imported - {"models", "pipeline", *sys.stdlib_module_names}
    assert {"torch", "av"} <= others
    providers = packages_distributions()
    assert [name for name in sorted(others) if not _names(providers[name]) & _names(REQUIREMENTS)] == []


def _imported(statements: Iterable[ast.stmt]) -> Iterator[str]:
    """The top packages of the absolute imports among ``statements``."""
    for statement in statements:
        if isinstance(statement, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            yield statement.module.partition(".")[0]


def _names(distributions: Iterable[str]) -> set[str]:
    """The names in the form in which package indexes compare them."""
    return {re.sub(r"[-_.]+", "-", name).lower() for name in distributions}
