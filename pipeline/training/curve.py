"""A training's curve as CSV (for DVC) and as a picture."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from pipeline import atomic

_NOT_DRAWN = ("step", "learning_rate", "grad_norm", "temperature")


def write_curve(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """One row per logged step; a scalar absent at a step is an empty cell."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with atomic.replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            cells = {name: f"{value:.6g}" for name, value in row.items()}
            writer.writerow(cells | {"step": str(int(row["step"]))})


def plot_curve(path: Path, rows: Sequence[dict[str, float]], title: str) -> None:
    """One panel per loss term; training as a line, validation as dots of the same name."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = list(dict.fromkeys(name.removeprefix("val_") for row in rows for name in row))
    names = [n for n in names if n not in _NOT_DRAWN and not n.startswith(("num_", "chance_"))]
    figure, axes = plt.subplots(
        (len(names) + 2) // 3, 3, figsize=(12, 2.8 * ((len(names) + 2) // 3)), squeeze=False, layout="constrained"
    )
    for axis, name in zip(axes.flat, names, strict=False):
        for prefix, style in (("", "-"), ("val_", "o--")):
            points = [(row["step"], row[prefix + name]) for row in rows if prefix + name in row]
            if points:
                axis.plot(*zip(*points, strict=True), style, label="validation" if prefix else "training", markersize=4)
        axis.set_title(name.replace("_", " "), fontsize=10)
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, frameon=False)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    figure.suptitle(title)
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png", metadata={"Software": None})
    plt.close(figure)
