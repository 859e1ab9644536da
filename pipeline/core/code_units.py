"""The definitions of a source file, each with a digest that excludes comments, docstrings, formatting and log calls."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

TOP_LEVEL = "<module>"
"""Name of the unit of all statements that define nothing."""
_LOGGER = "logger"  # in every module
_LOG_METHODS = ("debug", "info", "warning", "error", "exception", "critical", "log")
_OF_STATEMENTS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Fields of a node that hold lists of statements, or of nodes with such fields."""


@dataclass(frozen=True)
class CodeUnit:
    """One definition, or all statements of a module that define nothing."""

    names: frozenset[str]
    """All identifiers in the statements, including attributes."""
    digest: str
    """Common digest of the statements; empty if there are none."""


@lru_cache(maxsize=1000)
def parsed_source(source: bytes) -> tuple[dict[str, CodeUnit], list[tuple[str, str, str | None]]]:
    """The definitions of a module by name, and what it imports.

    An import is a local name, a module, and a name in that module; None if the module itself is imported.
    """
    tree = ast.parse(source)
    statements: dict[str, list[ast.stmt]] = {TOP_LEVEL: []}
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom) or _is_inert(statement):
            continue
        for defined in _defined(statement) or [TOP_LEVEL]:
            statements.setdefault(defined, []).append(statement)
    return {name: _unit_of(of_it) for name, of_it in statements.items()}, list(_imported(tree))


def _unit_of(statements: list[ast.stmt]) -> CodeUnit:
    text = "\n".join(_node_text(statement) for statement in statements)
    return CodeUnit(frozenset(_identifiers(statements)), short_sha256(text.encode()) if statements else "")


def _imported(tree: ast.AST) -> Iterator[tuple[str, str, str | None]]:
    """What the import statements of a module bind, those in functions included."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname or alias.name.split(".")[0]), alias.name, None
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield alias.asname or alias.name, node.module, alias.name
        else:
            waiting += [child for field in _OF_STATEMENTS for child in getattr(node, field, ())]


def _defined(statement: ast.stmt) -> list[str]:
    """The names that a top-level statement defines."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    parts = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return [part.id for part in parts if isinstance(part, ast.Name)]


def _is_inert(node: ast.AST) -> bool:
    """Whether a statement is a docstring, a log call or the creation of a logger."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
        return isinstance(node.value.func, ast.Attribute) and node.value.func.attr == "getLogger"
    if not isinstance(node, ast.Expr):
        return False
    value = node.value
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return True
    return (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Attribute)
        and value.func.attr in _LOG_METHODS
        and isinstance(value.func.value, ast.Name)
        and value.func.value.id == _LOGGER
    )


def _identifiers(statements: Iterable[ast.AST]) -> set[str]:
    """The names and attributes in the statements, without those in inert statements."""
    names: set[str] = set()
    waiting = list(statements)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
            waiting.append(node.value)
        elif not (isinstance(node, ast.Assign | ast.Expr) and _is_inert(node)):
            for field in node._fields:
                value = getattr(node, field, None)
                if isinstance(value, list):
                    waiting += [child for child in value if isinstance(child, ast.AST)]
                elif isinstance(value, ast.AST):
                    waiting.append(value)
    return names


def _node_text(node: object) -> str:
    """A node's fields as text, without empty fields and inert statements: the same in every version of Python."""
    if isinstance(node, ast.AST):
        fields = []
        for name in node._fields:
            if name not in ("kind", "type_comment") and (text := _node_text(getattr(node, name, None))):
                fields.append(f"{name}={text}")
        return f"{type(node).__name__}({','.join(fields)})"
    if isinstance(node, list):
        items = [_node_text(item) for item in node if not (isinstance(item, ast.AST) and _is_inert(item))]
        return f"[{','.join(items)}]" if items else ""
    return "" if node is None else repr(node)


def short_sha256(content: bytes) -> str:
    """The first 16 hex digits of SHA-256."""
    return hashlib.sha256(content).hexdigest()[:16]
