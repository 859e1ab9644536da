"""The training curve as CSV (for DVC) and as PNG."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from pipeline.core import atomic

_NOT_DRAWN = ("step", "learning_rate", "grad_norm", "temperature")
_NUM_COLUMNS = 3
_TRAINING, _VALIDATION = ("training", "-", 0), ("validation", "o--", 1)
"""Label, line style, and number of the colour."""


def write_curve(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Write the curve as CSV with one row per logged step. A scalar without a value at a step is an empty cell."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with atomic.replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            cells = {name: f"{value:.6g}" for name, value in row.items()}
            writer.writerow(cells | {"step": str(int(row["step"]))})


def plot_curve(path: Path, rows: Sequence[dict[str, float]], title: str) -> None:
    """Plot the curve as PNG with one panel per scalar: training as a line, validation as dots joined by dashes.

    The total losses of training and validation have separate panels because they are not comparable. A generator's
    validation loss uses the final weights and leaves out the adversarial terms. A sync network's validation loss
    compares audio windows of one clip only.
    """
    from matplotlib.figure import Figure  # here, because it takes seconds

    from pipeline.report.plot_style import COLOURS, INK, MUTED, clean, save, set_title, spaced

    panels = _panels(rows)
    num_rows = -(-len(panels) // _NUM_COLUMNS)
    figure = Figure(figsize=(4.2 * _NUM_COLUMNS, 0.9 + 2.4 * num_rows), layout=spaced())
    axes = figure.subplots(num_rows, _NUM_COLUMNS, squeeze=False)
    handles = {}
    for axis, (title_of_panel, keys) in zip(axes.flat, panels.items(), strict=False):
        for key in keys:
            points = [(row["step"], row[key]) for row in rows if key in row]
            label, style, colour = _VALIDATION if key.startswith("val_") else _TRAINING
            (handles[label],) = axis.plot(
                *zip(*points, strict=True), style, color=COLOURS[colour], label=label, linewidth=1.8, markersize=4
            )
        set_title(axis, title_of_panel, "")
        clean(axis, "y")
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    figure.suptitle(title, fontsize=12, fontweight="bold", color=INK)
    figure.supxlabel("training step", fontsize=9, color=MUTED)
    figure.legend(handles.values(), handles.keys(), loc="outside upper right", ncols=2, frameon=False, fontsize=10)
    save(figure, path)


def _panels(rows: Sequence[dict[str, float]]) -> dict[str, list[str]]:
    """Panel title -> names of the scalars in that panel."""
    panels: dict[str, list[str]] = {}
    for key in dict.fromkeys(key for row in rows for key in row):
        name = key.removeprefix("val_")
        if name in _NOT_DRAWN or name.startswith(("num_", "chance_")):
            continue
        title = "loss in validation" if key == "val_loss" else name.replace("_", " ")
        panels.setdefault(title, []).append(key)
    return panels
