"""One look for every figure: colours, titles, bare axes, and PNG files that are the same bytes for the same figure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pipeline.core import atomic


@dataclass(frozen=True)
class Theme:
    """Colours as ``#rrggbb``. ``near`` marks offsets of at most one frame; ``series`` are those of trained variants."""

    ink: str
    muted: str
    rule: str
    near: str
    real: str
    copy_input: str
    series: tuple[str, ...]


LIGHT = Theme(
    ink="#1f2933",
    muted="#6b7785",
    rule="#e3e8ee",
    near="#fff3bf",
    real="#1f2933",
    copy_input="#8a95a3",
    series=("#0b7285", "#e8590c", "#6741d9", "#2b8a3e", "#c2255c", "#846358", "#1971c2"),
)
DARK = Theme(
    ink="#e7ecf2",
    muted="#96a2b1",
    rule="#2c3542",
    near="#4a4220",
    real="#f1f4f8",
    copy_input="#7c8896",
    series=("#4fc3d9", "#ff9f5a", "#ab94ff", "#6ed083", "#ff7fa8", "#c9a597", "#74b4f5"),
)
"""The hues of ``LIGHT`` for a dark page."""
BACKGROUND = "#ffffff"
INK, MUTED, RULE, COLOURS = LIGHT.ink, LIGHT.muted, LIGHT.rule, LIGHT.series
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
        figure.savefig(temporary, dpi=_DPI, facecolor=BACKGROUND, metadata={"Software": None})
