"""The training curve as CSV (for DVC) and as PNG."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from pipeline.core import atomic

_NOT_DRAWN = ("step", "learning_rate", "grad_norm", "temperature")


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
    """Plot the curve as PNG with one panel per scalar: training as a line, validation as dots.

    The total losses of training and validation have separate panels because they are not comparable. A generator's
    validation loss uses the final weights and leaves out the adversarial terms. A sync network's validation loss
    compares audio windows of one clip only.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    panels = _panels(rows)
    num_rows = (len(panels) + 2) // 3
    figure, axes = plt.subplots(num_rows, 3, figsize=(12, 2.8 * num_rows), squeeze=False, layout="constrained")
    for axis, (title_of_panel, keys) in zip(axes.flat, panels.items(), strict=False):
        for key in keys:
            points = [(row["step"], row[key]) for row in rows if key in row]
            style, label = ("o--", "validation") if key.startswith("val_") else ("-", "training")
            axis.plot(*zip(*points, strict=True), style, label=label, markersize=4)
        axis.set_title(title_of_panel, fontsize=10)
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, frameon=False)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    figure.suptitle(title)
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png", metadata={"Software": None})
    plt.close(figure)


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
