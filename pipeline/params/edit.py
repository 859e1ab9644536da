"""Replace values in the text of ``params.yaml``. Comments and all other bytes stay unchanged.

PyYAML reports the position of each value, and only these characters are replaced. A round trip through ruamel.yaml
would move comments, change indentation, turn CRLF into LF and write 0.00001 as 1e-05, which PyYAML reads as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from pipeline.params import ParamsError


@dataclass(frozen=True)
class Change:
    """One value that was replaced."""

    key: str
    old: Any
    new: Any


def replace_values(text: str, values: Mapping[str, Any]) -> tuple[str, list[Change]]:
    """Replace ``values`` (dotted key -> number, word or None) in the text; return the text and the changes.

    ``train_gan.betas.0`` is the first value of a list. Raises ParamsError if the text is not YAML or lacks a key. The
    new values are not validated.
    """
    changes: list[Change] = []
    spans: list[tuple[int, int, str]] = []
    root = _compose(text)
    for key, value in values.items():
        node = _find(root, key)
        old = yaml.safe_load(node.value) if node.style is None else node.value
        if old != value:
            changes.append(Change(key, old, value))
            spans.append((node.start_mark.index, node.end_mark.index, _scalar(value)))
    for start, end, new in sorted(spans, reverse=True):
        separator = " " if start == end else ""  # the key had no value
        text = text[:start] + separator + new + text[end:]
    return text, changes


def _compose(text: str) -> yaml.Node:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ParamsError(f"params.yaml is not valid YAML: {error}") from None
    if root is None:
        raise ParamsError("params.yaml is empty; restore it with `git restore params.yaml`")
    return root


def _find(root: yaml.Node, key: str) -> yaml.ScalarNode:
    node = root
    for part in key.split("."):
        found = []
        if isinstance(node, yaml.MappingNode):
            found = [value for name, value in node.value if name.value == part]
        elif isinstance(node, yaml.SequenceNode) and part.isdigit():
            found = node.value[int(part) :][:1]
        if not found:
            raise ParamsError(f"params.yaml has no {key}; add it, or restore the file with `git restore params.yaml`")
        node = found[-1]
    if not isinstance(node, yaml.ScalarNode):
        raise ParamsError(f"params.yaml: {key} must be a single value, not a section or a list")
    return node


def _scalar(value: Any) -> str:
    """A number, a word or None as YAML. Floats have no exponent: PyYAML reads 1e-05 as text."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value) if "e" not in repr(value) else f"{value:.12f}".rstrip("0")
    return str(value) if _is_plain(str(value), value) else json.dumps(value)


def _is_plain(text: str, value: Any) -> bool:
    """Whether YAML reads a text without quotes as the value."""
    try:
        return bool(yaml.safe_load(text) == value)
    except yaml.YAMLError:  # such as @list.csv
        return False
