"""Histograms of all measures in one figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from pipeline.corpora.manifest import SPLITS
from pipeline.doctor.data import Survey
from pipeline.doctor.measures import measured, values_of
from pipeline.report.plot_style import COLOURS, INK, MUTED, clean, save, set_title, spaced

_COLUMNS = 3
_BINS = 28
_FILL_ALPHA = 0.45
_COLOUR_OF = dict(zip(SPLITS, COLOURS, strict=False))


def plot_distributions(survey: Survey, path: Path) -> None:
    """Write a PNG with a histogram per measure: the largest split filled, the others as lines. Needs a kept clip."""
    shown = measured(survey.kept)
    splits = sorted((tally for tally in survey.splits if tally.kept), key=lambda tally: -tally.kept)
    lines = -(-len(shown) // _COLUMNS)
    figure = Figure(figsize=(4.2 * _COLUMNS, 0.9 + 2.4 * lines), layout=spaced())
    axes = figure.subplots(lines, _COLUMNS, squeeze=False)
    for axis, measure in zip(axes.flat, shown, strict=False):
        everything = values_of(survey.kept, measure)
        low, high = float(everything.min()), float(everything.max())
        edges = np.linspace(low, high, _BINS + 1) if high > low else np.array([low - 0.5, low + 0.5])
        for place, tally in enumerate(splits):
            values = values_of(survey.of_split(tally.name), measure)
            if not len(values):
                continue
            shares = 100 * np.histogram(values, edges)[0] / len(values)
            alpha = _FILL_ALPHA if place == 0 else 1
            axis.stairs(shares, edges, fill=place == 0, color=_COLOUR_OF[tally.name], alpha=alpha, linewidth=1.4)
        axis.axvline(float(np.median(everything)), color=INK, linewidth=1, linestyle=(0, (4, 3)))
        if high == low:
            axis.set_xlim(low - 2, low + 2)
        set_title(axis, measure.title, f"median {measure.text(float(np.median(everything)))}")
        axis.set_xlabel(measure.unit, fontsize=9, color=MUTED)
        axis.set_ylim(bottom=0)
        axis.locator_params(axis="x", nbins=6)
        clean(axis, "y")
    for axis in list(axes.flat)[len(shown) :]:
        axis.set_visible(False)
    filled, lined = splits[0], splits[1:]
    handles: list[Artist] = [Patch(color=_COLOUR_OF[filled.name], alpha=_FILL_ALPHA)]
    handles += [Line2D([], [], color=_COLOUR_OF[tally.name], linewidth=1.4) for tally in lined]
    labels = [f"{tally.name}: {tally.kept} clips" for tally in splits]
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), frameon=False, fontsize=10)
    figure.supylabel("clips of the split, %", fontsize=9, color=MUTED)
    figure.supxlabel("dashed: median of all kept clips", fontsize=9, color=MUTED)
    save(figure, path)
