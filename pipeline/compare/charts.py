"""SVG charts for the comparison's page. Colours are CSS variables of the page, so charts follow its theme.

A series has the colour ``--series-N``; N is its position among the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

Point = tuple[float, float]

_WIDTH = 400.0
_LABEL_WIDTHS = 112.0, 200.0
_LETTER_WIDTH = 7.5
"""Average width of a letter in a label of 13 px, in px."""
_LINE_HEIGHT = 28.0


def intervals(rows: Sequence[Mapping[str, Any]], key: str, digits: int) -> str:
    """One line per row: a dot at ``row[key]`` on its interval ``row[key + "_ci"]``, or a bar without an interval."""
    bounds = [row.get(f"{key}_ci", (0.0, row[key])) for row in rows]
    low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
    longest = max(len(row["variant"]) for row in rows)
    label_width = min(max(_LETTER_WIDTH * longest, _LABEL_WIDTHS[0]), _LABEL_WIDTHS[1])
    x = _scale(low, high, label_width + 10, _WIDTH - 56)
    parts = []
    for number, (row, (start, stop)) in enumerate(zip(rows, bounds, strict=True)):
        y = _LINE_HEIGHT * (number + 0.5)
        value = f"{row[key]:.{digits}f}"
        width = 4 if f"{key}_ci" in row else 14
        parts += [
            _text(label_width, y + 4, _fitting(row["variant"]), "label end", title=row["variant"]),
            f'<g style="--colour:var(--series-{number})"><title>{escape(row["variant"])}: {value}</title>'
            f'<line class="bar" x1="{x(start):.1f}" x2="{x(stop):.1f}" y1="{y}" y2="{y}" stroke-width="{width}"/>',
            f'<circle class="dot" cx="{x(row[key]):.1f}" cy="{y}" r="5"/></g>' if f"{key}_ci" in row else "</g>",
            _text(x(stop) + 9, y + 4, value, "value"),
        ]
    return _svg(_WIDTH, _LINE_HEIGHT * len(rows), "".join(parts), f"{key} of every row")


def histogram(counts: Mapping[int, int], number: int, name: str) -> str:
    """Share of clips per offset in frames; offsets within one frame are marked."""
    width, height, floor = 300.0, 110.0, 90.0
    limit = max(map(abs, counts), default=1)
    total = max(1, sum(counts.values()))
    x = _scale(-limit - 0.5, limit + 0.5, 0, width)
    parts = [f'<rect class="near" x="{x(-1.5):.1f}" width="{x(1.5) - x(-1.5):.1f}" y="0" height="{floor}"/>']
    parts.append(f'<g style="--colour:var(--series-{number})">')
    for offset, count in sorted(counts.items()):
        tall = floor * count / total
        parts.append(
            f'<rect class="column" x="{x(offset - 0.42):.1f}" width="{x(0.84) - x(0):.1f}" y="{floor - tall:.1f}" '
            f'height="{tall:.1f}"><title>{offset:+d} frames: {count} of {total}</title></rect>'
        )
    parts.append(f'</g><line class="axis" x1="0" x2="{width}" y1="{floor}" y2="{floor}"/>')
    parts += [_text(x(tick), floor + 15, f"{tick:+d}" if tick else "0", "tick") for tick in (-10, 0, 10) if limit >= 10]
    return _svg(width, height, "".join(parts), f"offsets of {name}")


def curves(series: Mapping[int, Sequence[Point]], title: str) -> str:
    """Lines over training steps; the keys are the numbers of the series."""
    width, height, left, floor = 420.0, 210.0, 56.0, 185.0
    points = [point for line in series.values() for point in line]
    steps, values = [step for step, _ in points], [value for _, value in points]
    x, y = _scale(min(steps), max(steps), left, width - 8), _scale(min(values), max(values), floor - 6, 8)
    parts = []
    for value in (min(values), (min(values) + max(values)) / 2, max(values)):
        parts += [
            f'<line class="grid" x1="{left}" x2="{width}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>',
            _text(left - 6, y(value) + 4, f"{value:.3g}", "tick end"),
        ]
    for step in (min(steps), max(steps)):
        parts.append(_text(x(step), height - 6, f"{step:g}", "tick start" if step == min(steps) else "tick end"))
    for number, line in series.items():
        path = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in thinned(line))
        parts.append(f'<polyline class="line" style="--colour:var(--series-{number})" points="{path}"/>')
    return _svg(width, height, "".join(parts), title)


def thinned(points: Sequence[Point], most: int = 120) -> list[Point]:
    """At most ``most`` points, each the mean of a block of neighbours."""
    size = -(-len(points) // most)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(s for s, _ in group) / len(group), sum(v for _, v in group) / len(group)) for group in groups]


def _scale(low: float, high: float, start: float, stop: float) -> Callable[[float], float]:
    """A function from values to coordinates; if ``low`` equals ``high`` it returns the middle."""
    if high <= low:
        return lambda value: (start + stop) / 2
    return lambda value: start + (value - low) / (high - low) * (stop - start)


def _fitting(name: str) -> str:
    """The name, with its middle replaced by an ellipsis if it does not fit the widest column of labels."""
    most = int(_LABEL_WIDTHS[1] / _LETTER_WIDTH)
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-(most - 1 - most // 2) :]}"


def _text(x: float, y: float, text: str, kind: str, title: str = "") -> str:
    """An SVG text element. ``title``: the full text, if ``text`` may be shortened."""
    title_element = f"<title>{escape(title)}</title>" if title not in ("", text) else ""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{title_element}{escape(text)}</text>'


def _svg(width: float, height: float, content: str, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title, quote=True)}" '
        f'xmlns="http://www.w3.org/2000/svg">{content}</svg>'
    )
