"""Shortens paths in messages for people."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path


def short_paths(text: str) -> str:
    """The text with paths below the working directory relative to it, and others below the user's folder with ``~``.

    URLs stay as they are.
    """
    for folder_of, short in ((Path.cwd, ""), (Path.home, "~/")):
        if folder := _folder(folder_of):
            text = re.sub(rf"(?<![\w/:.~-]){re.escape(folder)}/", short, text)
    return text


def _folder(folder_of: Callable[[], Path]) -> str:
    """The path of a folder without a slash at its end; empty for ``/`` and if there is none."""
    try:
        return str(folder_of()).rstrip("/")
    except (FileNotFoundError, RuntimeError):  # it was removed, or the user has none
        return ""
