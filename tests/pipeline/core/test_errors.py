"""The project's errors: one base class, four exit codes, and the exceptions that count as bugs."""

from __future__ import annotations

import ast
import builtins
import errno
import importlib
import inspect
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.errors import DataError, LipsmithError, TemporaryError, UserError, exit_code_of, first_line
from pipeline.corpora.storage import OutageError
from pipeline.fetch.http import RefusedTransferError as RefusedTransferError
from pipeline.fetch.http import WrongContentError
from pipeline.media.errors import CorruptMediaError, MissingMediaError
from pipeline.preprocess.reasons import Reason, RejectedError

ROOT = Path(__file__).resolve().parents[3]
BUILT_IN = {name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)}


def _classes() -> Iterator[tuple[str, ast.ClassDef]]:
    """Every class in the project's packages, with its module."""
    for package in ("pipeline", "flows"):
        for path in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            yield from (
                (module, node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)
            )


def _exceptions() -> list[tuple[str, str]]:
    """(module, name) of every class that derives from an exception, directly or through other classes."""
    bases = {
        (module, node.name): {
            base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases
        }
        for module, node in _classes()
    }
    known, found = set(BUILT_IN), set[tuple[str, str]]()
    while more := {key for key, names in bases.items() if key not in found and names & known}:
        found |= more
        known |= {name for _, name in more}
    return sorted(found)


def test_the_search_finds_known_exceptions() -> None:
    found = {name for _, name in _exceptions()}
    assert {"LipsmithError", "MissingMediaError", "ArchiveError", "TemporaryDvcError", "_SourceError"} <= found


@pytest.mark.parametrize(("module", "name"), _exceptions(), ids=".".join)
def test_every_exception_derives_from_the_base_class(module: str, name: str) -> None:
    kind = getattr(importlib.import_module(module), name)
    assert inspect.isclass(kind) and issubclass(kind, LipsmithError)
    assert not {base.__name__ for base in kind.__mro__} & (BUILT_IN - {"Exception", "BaseException"})


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LipsmithError("a stage failed"), 1),
        (UserError("misspelt"), 2),
        (DataError("too few clips"), 3),
        (TemporaryError("busy"), 75),
        (WrongContentError("damaged"), 3),
        (OutageError("no answer"), 75),
        (MissingMediaError("a.mp4"), 2),
        (CorruptMediaError("a.mp4", "cut off"), 3),
        (PermissionError(errno.EACCES, "Permission denied", "/data"), 2),
        (OSError(errno.ENOSPC, "No space left on device"), 2),
        (FileNotFoundError("no errno: raised by a program"), None),
        (ValueError("shapes differ"), None),
        (KeyError("name"), None),
    ],
)
def test_an_error_has_an_exit_code_and_a_bug_has_none(error: Exception, code: int | None) -> None:
    assert exit_code_of(error) == code


@pytest.mark.parametrize(
    "error",
    [
        UserError("misspelt"),
        RejectedError(Reason.NO_FACE, "0 of 40 frames"),
        CorruptMediaError("a.mp4", "cut off"),
        RefusedTransferError("HTTP 403", 403),
    ],
)
def test_pickling_preserves_an_error(error: LipsmithError) -> None:
    error.add_note("while preprocessing")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), copy.args, vars(copy)) == (str(error), error.args, vars(error))


@pytest.mark.parametrize(
    ("message", "line"),
    [("why\nmore", "why"), ("\n why \nmore", "why"), ("", ""), (UserError("why\nmore"), "why"), (OSError(), "")],
)
def test_the_first_line_of_a_message(message: object, line: str) -> None:
    assert first_line(message) == line
