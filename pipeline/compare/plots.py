"""Plots of the comparison. A variant has the same colour in every plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.compare.intervals import level
from pipeline.compare.seeds import places
from pipeline.core.artifacts import read_curve_rows
from pipeline.core.errors import DataError
from pipeline.report.plot_style import LIGHT, MUTED, TEXT, Theme, clean, save, set_title, spaced

_LEGEND_COLUMNS = 7
_PANELS = (
    ("LSE-D", "lse_d", "lower is better"),
    ("LSE-C", "lse_c", "higher is better"),
    ("FID", "fid", "lower is better"),
)


def colours(
    variants: Sequence[str], repeats: Mapping[str, str] = MappingProxyType({}), theme: Theme = LIGHT
) -> dict[str, str]:
    """One colour per variant, in order. ``repeats`` have the colour of the variant they repeat; bounds are grey."""
    bounds = {"real": theme.real, "copy_input": theme.copy_input}
    place = places([name for name in variants if name not in bounds], repeats)
    chosen = {name: theme.series[number % len(theme.series)] for name, number in place.items()}
    return {name: bounds.get(name) or chosen[name] for name in variants}


def plot_scores(rows: Sequence[Mapping[str, Any]], confidence: float, path: Path) -> None:
    """Plot LSE-D, LSE-C and FID side by side, one line per variant, with intervals over clips.

    A metric that is withheld (None) has no panel.
    """
    panels = [panel for panel in _PANELS if all(row[panel[1]] is not None for row in rows)]
    figure = Figure(figsize=(12, 1.6 + 0.42 * len(rows)), layout=spaced())
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    repeats = {row["variant"]: row["repeats"] for row in rows if "repeats" in row}
    colour = colours([row["variant"] for row in rows], repeats)
    for axis, (title, key, direction) in zip(axes, panels, strict=True):
        for y, row in enumerate(rows):
            name, value = row["variant"], row[key]
            if f"{key}_ci" in row:
                axis.plot(row[f"{key}_ci"], [y, y], color=colour[name], linewidth=3, alpha=0.35)
                axis.plot(value, y, "o", color=colour[name], markersize=8)
            else:
                axis.barh(y, value, height=0.5, color=colour[name])
            high = row.get(f"{key}_ci", (value, value))[1]
            axis.annotate(f"{value:.3g}", (high, y), xytext=(7, 0), textcoords="offset points", va="center", **TEXT)
        if key != "fid":
            for row in rows:
                if row["variant"] == "real":
                    axis.axvline(row[key], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
        set_title(axis, title, direction)
        clean(axis, "x")
        axis.margins(x=0.16)
    axes[-1].set_xlim(left=0)
    axes[0].set_yticks(range(len(rows)), [row["variant"] for row in rows], **TEXT)
    axes[0].set_ylim(len(rows) - 0.4, -0.6)
    keys = [key for _, key, _ in panels]
    has_intervals = any(f"{key}_ci" in row for row in rows for key in keys)
    legend = [
        f"dot: mean over clips; line: its {level(confidence)} bootstrap interval" if has_intervals else "",
        "bar: value without an interval",
        "dashed: real videos" if len(panels) > 1 else "",
        "FID of real and copy_input is 0 by construction",
    ]
    figure.supxlabel("; ".join(text for text in legend if text), fontsize=9, color=MUTED)
    save(figure, path)


def plot_offsets(
    histograms: Mapping[str, Mapping[int, int]], path: Path, repeats: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Plot the share of clips per offset between audio and lips, one panel per variant."""
    columns = min(3, len(histograms))
    lines = -(-len(histograms) // columns)
    figure = Figure(figsize=(4 * columns, 0.7 + 2.1 * lines), layout=spaced())
    axes = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    colour = colours(list(histograms), repeats)
    limit = max((abs(k) for histogram in histograms.values() for k in histogram), default=1)
    for axis, (name, histogram) in zip(axes.flat, histograms.items(), strict=False):
        total = max(1, sum(histogram.values()))
        near = sum(n for offset, n in histogram.items() if abs(offset) <= 1)
        axis.axvspan(-1.5, 1.5, color=LIGHT.near, zorder=0)
        axis.bar(list(histogram), [100 * n / total for n in histogram.values()], width=0.9, color=colour[name])
        set_title(axis, name, f"{near / total:.0%} within 1 frame")
        clean(axis, "y")
        axis.set_xlim(-limit - 0.7, limit + 0.7)
        axis.set_ylim(0, 105)
    for axis in list(axes.flat)[len(histograms) :]:
        axis.set_visible(False)
    figure.supxlabel("offset, frames (positive: audio leads)", fontsize=9, color=MUTED)
    figure.supylabel("clips, %", fontsize=9, color=MUTED)
    save(figure, path)


Curve = Mapping[str, Sequence[tuple[int, float]]]


def read_curve(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Read a training run's ``curve.csv`` as column -> (step, value) points, without empty cells.

    Raises UserError if the file is missing, DataError if it is damaged.
    """
    points: dict[str, list[tuple[int, float]]] = {}
    for row in read_curve_rows(path):
        step = int(row.pop("step"))
        for name, value in row.items():
            points.setdefault(name, []).append((step, value))
    return points


def plot_training(
    curves: Mapping[str, Curve],
    panels: Mapping[str, str],
    path: Path,
    repeats: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Plot training curves. ``panels``: column of ``curve.csv`` -> title; absent columns are left out.

    ``repeats`` have the colour of the variant they repeat and no entry in the legend. Raises DataError if no curve has
    any of the columns.
    """
    shown = [name for name in panels if any(curve.get(name) for curve in curves.values())]
    if not shown:
        raise DataError(f"no curve has any of the columns {', '.join(panels)}")
    columns = 2 if len(shown) == 4 else min(3, len(shown))
    lines = -(-len(shown) // columns)
    figure = Figure(figsize=(4.2 * columns, 0.8 + 2.6 * lines), layout=spaced())
    axes = figure.subplots(lines, columns, sharex=True, squeeze=False)
    colour = colours(list(curves), repeats)
    for axis, name in zip(axes.flat, shown, strict=False):
        for variant, curve in curves.items():
            points = curve.get(name, [])
            if points:
                _draw_curve(axis, points, colour[variant], None if variant in repeats else variant)
        set_title(axis, panels[name], "")
        clean(axis, "y")
    for axis in list(axes.flat)[len(shown) :]:
        axis.set_visible(False)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=min(len(labels), _LEGEND_COLUMNS), frameon=False, fontsize=10
    )
    figure.supxlabel("training step", fontsize=9, color=MUTED)
    save(figure, path)


def _draw_curve(axis: Axes, points: Sequence[tuple[int, float]], colour: str, label: str | None) -> None:
    """Plot few points as they are, many as a running mean over 5 % of them with the raw values pale behind it."""
    steps, values = zip(*points, strict=True)
    reach = len(values) // 40
    if reach < 1:
        marker = "o" if len(values) <= 12 else None
        axis.plot(steps, values, color=colour, linewidth=1.8, marker=marker, markersize=4, label=label)
        return
    axis.plot(steps, values, color=colour, linewidth=0.6, alpha=0.2)
    parts = [values[max(0, k - reach) : k + reach + 1] for k in range(len(values))]
    smooth = [sum(part) / len(part) for part in parts]
    axis.plot(steps, smooth, color=colour, linewidth=1.8, label=label)
