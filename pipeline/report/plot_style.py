"""One look for every figure: colours, titles, bare axes, and PNG files that are the same bytes for the same figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pipeline.core import atomic

INK = "#1f2933"
MUTED = "#6b7785"
RULE = "#e3e8ee"
COLOURS = ("#0b7285", "#e8590c", "#6741d9", "#2b8a3e", "#c2255c", "#846358", "#1971c2")
TEXT: dict[str, Any] = {"color": INK, "fontsize": 10}
_DPI = 150


def spaced() -> ConstrainedLayoutEngine:
    """Room between panels."""
    return ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08, wspace=0.04)


def set_title(axis: Axes, title: str, remark: str) -> None:
    """A panel's name at the left, a remark at the right."""
    axis.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    axis.set_title(remark, loc="right", fontsize=9, color=MUTED)


def clean(axis: Axes, grid: Literal["x", "y"]) -> None:
    """Leave the axis its lower line and pale rules across ``grid``."""
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color(RULE)
    axis.tick_params(length=0, labelsize=9, labelcolor=MUTED)
    axis.grid(axis=grid, color=RULE, linewidth=0.8)
    axis.set_axisbelow(True)


def save(figure: Figure, path: Path) -> None:
    """Write the PNG atomically."""
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, dpi=_DPI, facecolor="white", metadata={"Software": None})
