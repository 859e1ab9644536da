"""Changing values in the text of ``params.yaml``: every comment and every other byte stays as it is.

PyYAML says where each value begins and ends, and only those characters are replaced. A round trip through ruamel.yaml
would move comments, indent lists anew, turn CRLF into LF and write 0.00001 as 1e-05, which PyYAML reads as text.
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
    """Put ``values`` (dotted key -> number, word or None) into the text; returns it with what changed.

    ``train_gan.betas.0`` is the first value of a list.

    Raises ParamsError for text that is no YAML or lacks a key. The result is not checked further.
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
        separator = " " if start == end else ""  # a key whose value was left empty
        text = text[:start] + separator + new + text[end:]
    return text, changes


def _compose(text: str) -> yaml.Node:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ParamsError(f"params.yaml is not valid YAML: {error}") from None
    if root is None:
        raise ParamsError("params.yaml is empty; bring it back with `git restore params.yaml`")
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
            raise ParamsError(f"params.yaml has no {key}; add it, or start again from `git restore params.yaml`")
        node = found[-1]
    if not isinstance(node, yaml.ScalarNode):
        raise ParamsError(f"params.yaml: {key} must be one value, not a section or a list")
    return node


def _scalar(value: Any) -> str:
    """YAML of a number, a plain word or nothing; 1e-05 would be read back as text, so no exponents."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value) if "e" not in repr(value) else f"{value:.12f}".rstrip("0")
    return str(value) if yaml.safe_load(str(value)) == value else json.dumps(value)
