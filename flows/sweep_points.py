"""The points of a sweep: overrides of ``params.yaml``, from a grid, from a list, and from seeds."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.errors import UserError
from pipeline.params import ParamsError, parse_params

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
Overrides = dict[str, Any]
"""Dotted key of ``params.yaml`` -> its value at one point."""


@dataclass(frozen=True)
class SweepPoint:
    """One point: the name of its DVC experiment, and its overrides."""

    name: str
    overrides: Overrides

    @property
    def settings(self) -> list[str]:
        """The overrides in the form ``KEY=VALUE`` that `dvc exp run -S` takes."""
        return [f"{key}={json.dumps(value)}" for key, value in self.overrides.items()]

    def __str__(self) -> str:
        return ", ".join(self.settings)


def grid_of(settings: Sequence[str], seeds: Sequence[int]) -> list[Overrides]:
    """All combinations of the values in ``KEY=VALUE,VALUE...``, and of the seeds if there are any.

    Values are YAML; a value that contains a comma must come from a list file. Raises UserError for a setting in another
    form and for a key that is given twice.
    """
    values: dict[str, list[Any]] = {}
    for setting in settings:
        key, found, texts = setting.partition("=")
        if not found or not key or not texts:
            raise UserError(f"--set {setting!r} must have the form KEY=VALUE,VALUE, such as train_gan.width=0.25,0.5")
        if key in values:
            raise UserError(f"--set {key} is given twice; list all its values in one --set")
        values[key] = [_value(text, setting) for text in texts.split(",")]
    if seeds:
        if "seed" in values:
            raise UserError("give seeds with --seeds or with --set seed=..., not both")
        values["seed"] = list(seeds)
    return [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]


def _value(text: str, setting: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--set {setting!r}: {text!r} is not a YAML value; quote it, or use --list") from None
    _require_json(value, f"--set {setting!r}")
    return value


def _require_json(content: Any, where: str) -> None:
    """Raise UserError for values that YAML has and JSON has not: dates, binary data, sets, keys of several types."""
    try:
        json.dumps(content, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{where} has a value that is no text, number, true, false, null, list or mapping ({error}); YAML reads "
            "2024-01-01 as a date: quote it, as in '\"2024-01-01\"'"
        ) from None


def read_list(path: Path) -> list[Overrides]:
    """The points of a YAML file that holds a list of mappings from dotted keys to values. Raises UserError."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"--list {path} cannot be read: {error}") from None
    is_list = isinstance(content, list) and all(isinstance(point, dict) and point for point in content)
    if not is_list or not content:
        raise UserError(f"--list {path} must hold a list of mappings, such as `- {{seed: 2, train_gan.width: 0.5}}`")
    for point in content:
        _require_json(point, f"--list {path}")
    return content


def points_of(
    sweep: str, baseline: str, params: Mapping[str, Any], overrides: Sequence[Overrides], targets: Sequence[str] = ()
) -> list[SweepPoint]:
    """The named points of a sweep. Equal overrides and targets on the same commit get the same name, so that a sweep
    can resume.

    ``baseline``: the commit from which the points start. ``params``: the content of ``params.yaml``. ``targets``: the
    stages to run; empty: all. Raises UserError for a name that DVC cannot use, no point, a point that occurs twice, and
    for values that a stage would reject.
    """
    if not _NAME.fullmatch(sweep):
        raise UserError(f"--name {sweep!r} must consist of letters, digits, _ and -")
    if not any(overrides):
        raise UserError("the sweep has no points; give --set, --seeds or --list")
    points: dict[str, SweepPoint] = {}
    for chosen in overrides:
        text = json.dumps([baseline, sorted(targets), chosen], sort_keys=True)
        point = SweepPoint(f"{sweep}-{hashlib.sha256(text.encode()).hexdigest()[:8]}", chosen)
        if point.name in points:
            raise UserError(f"the point {point} occurs twice; remove one")
        parse_params(_overridden(params, point), f"params.yaml at the point {point}")
        points[point.name] = point
    return list(points.values())


def _overridden(params: Mapping[str, Any], point: SweepPoint) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(params))
    for key, value in point.overrides.items():
        *sections, last = str(key).split(".")
        inner = content
        for section in sections:
            inner = inner.get(section) if isinstance(inner, dict) else None  # type: ignore[assignment]
        if not isinstance(inner, dict) or last not in inner:
            raise ParamsError(f"params.yaml has no {key}, which the point {point} sets")
        inner[last] = value
    return content
