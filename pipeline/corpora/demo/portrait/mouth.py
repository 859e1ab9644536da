"""The mouth: lips, teeth, tongue and cavity, painted per frame from a few articulatory controls."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.corpora.demo.portrait.field import Canvas, Field, blur_field, bump, mix, noise, smoothstep, to_display
from pipeline.corpora.demo.portrait.look import Look

JAW_DROP = 0.24
"""Downward motion of the chin at ``jaw`` 1, in half face widths."""


@dataclass(frozen=True)
class MouthShape:
    """Articulation of one frame. Controls are in [0, 1], except ``width`` in [-1, 1]."""

    open: float = 0.0
    """gap between the lips"""
    jaw: float = 0.0
    """drop of the jaw"""
    width: float = 0.0
    """-1 pursed and rounded, +1 spread"""
    seal: float = 0.0
    """lips pressed together (p, b, m); 1 closes the gap for any value of ``open``"""
    tuck: float = 0.0
    """lower lip under the upper teeth (f, v)"""
    teeth: float = 0.0
    """lips drawn back from closed teeth (s, z, sh, ch)"""
    tongue: float = 0.0
    """tongue tip at the upper teeth (th, l, n, t, d)"""


class MouthPainter:
    """Paints the mouth of one speaker onto skin that was already warped by the jaw's motion."""

    def __init__(self, look: Look, canvas: Canvas, light: Field) -> None:
        self._look = look
        m = look.mouth_height
        self.rows, self.columns = canvas.window(-0.66, 0.66, m - 0.30, m + 0.58)
        u, v = canvas.grid()
        self._x = u[:, self.columns]
        self._y = v[self.rows] - m
        self._soft = 1.0 / canvas.unit_px
        window = light[self.rows, self.columns]
        # The blurred light does not move with the jaw: it is so smooth that the difference is invisible.
        self._light = np.power(np.clip(blur_field(window, canvas.unit_px * 0.08), 0.05, 1.15), 1 / 2.2)
        self._light = np.ascontiguousarray(self._light[..., ::-1])
        self._lips = np.asarray(look.lips, np.float32)[::-1]
        rng = np.random.default_rng([look.seed, 10])
        shape = window.shape[:2]
        creases = noise(rng, 256, 110, 4)[: shape[0], : shape[1]]
        grain = noise(rng, 256, 120)[: shape[0], : shape[1]]
        self._creases = (0.050 * creases + 0.022 * grain).astype(np.float32)
        self._tooth_line = self._tooth_profile(rng)
        self._skin = to_display(np.power(np.asarray(look.skin, np.float32), 2.2) * 0.5)[::-1]

    def _tooth_profile(self, rng: np.random.Generator) -> Field:
        """The brightness along the row of teeth, float32 [1, W]: gaps between crowns, dark corners."""
        x = np.abs(self._x)
        edges = np.cumsum([0.0, 0.078, 0.062, 0.066, 0.060, 0.060])
        gaps = sum(bump((x - e) / 0.0085) * (0.20 if e else 0.15) for e in edges[:-1])
        return (1.0 - gaps) * (1.0 - 0.62 * smoothstep(0.10, 0.33, x))

    def paint(self, image: NDArray[np.uint8], shape: MouthShape) -> None:
        """Paint in place on uint8 [H, W, >=3] BGR."""
        look, x, y, soft = self._look, self._x, self._y, self._soft
        free = 1.0 - shape.seal
        tuck = free * shape.tuck
        shape = replace(shape, open=free * shape.open, teeth=free * shape.teeth, tuck=tuck)
        narrow = max(-shape.width, 0.0)
        spread = max(shape.width, 0.0)
        half = look.mouth_half_width * (1.0 + 0.17 * spread - 0.42 * narrow - 0.05 * shape.jaw)
        half *= 1.0 + 0.03 * shape.seal
        s = np.clip(x / half, -1.0, 1.0)
        s2 = s * s

        # Lip contours y(x) per column; y points downwards from the closed mouth.
        gap = 0.38 * shape.open + 0.085 * shape.teeth * (1.0 - shape.open)
        gap = gap * (1.0 - tuck) + 0.055 * tuck
        lift = 0.17 * gap + 0.035 * shape.teeth + 0.030 * tuck
        drop = gap - lift
        belly = np.power(np.maximum(1.0 - s2, 0.0), 0.80 - 0.34 * narrow)
        corner = -look.smile - 0.03 * spread + 0.25 * drop
        rest = corner * s2 + 0.012 * np.exp(-np.square(s / 0.22)) * (1 - shape.open)
        inner_up = rest - lift * belly
        inner_low = rest + drop * belly - 0.25 * drop * s2
        inner_low = np.maximum(inner_low, inner_up)
        full = look.lip_fullness * (1.0 + 0.34 * narrow) * (1.0 - 0.34 * shape.seal)
        stretch = 1.0 - 0.18 * shape.open - 0.10 * spread
        bow = 1.0 + 0.16 * bump((np.abs(s) - 0.20) / 0.16) - 0.13 * bump(s / 0.09)
        thick_up = 0.108 * full * stretch * bow * np.power(1.0 - np.abs(s) ** 1.8, 0.85 - 0.40 * narrow)
        thick_low = 0.142 * full * stretch * np.power(np.maximum(1.0 - s2, 0.0), 0.72 - 0.26 * narrow)
        thick_low = thick_low * (1.0 - 0.42 * tuck)
        outer_up = inner_up - thick_up
        outer_low = inner_low + thick_low

        inside = smoothstep(-soft, soft, y - inner_up) * smoothstep(-soft, soft, inner_low - y)
        inside = inside * smoothstep(1.0, 1.0 - 2 * soft, np.abs(x) / half) * float(gap > 0.004)
        upper = smoothstep(-1.6 * soft, 1.6 * soft, y - outer_up) * smoothstep(-soft, soft, inner_up - y)
        lower = smoothstep(-1.8 * soft, 1.8 * soft, outer_low - y) * smoothstep(-soft, soft, y - inner_low)
        ends = smoothstep(1.0, 1.0 - 3 * soft / half, np.abs(x) / half)
        upper, lower = upper * ends, lower * ends

        target = image[self.rows, self.columns, :3]
        out = target.astype(np.float32) * (1.0 / 255.0)
        out = self._surround(out, s, outer_up, outer_low, half)
        out = mix(out, self._interior(shape, gap, inner_up, inner_low), inside)
        out = mix(out, self._upper_lip(y, inner_up, outer_up, s, shape), upper)
        out = mix(out, self._lower_lip(y, inner_low, outer_low, s, shape), lower)
        seam = bump((y - inner_up) / 0.016) * (1.0 - smoothstep(0.01, 0.05, np.full((1, 1), gap)))
        seam = seam * smoothstep(1.02, 0.94, np.abs(x) / half)
        pits = bump((np.abs(x) - half) / 0.030, (y - corner) / 0.030)
        dark = np.clip(0.78 * seam + 0.42 * pits, 0.0, 0.9)
        out = mix(out, self._lips * np.array((0.16, 0.15, 0.24), np.float32), dark)
        target[...] = np.clip(out * 255.0 + 0.5, 0, 255).astype(np.uint8)

    def _surround(self, out: Field, s: Field, outer_up: Field, outer_low: Field, half: float) -> Field:
        """The skin around the lips with a shadow under the lower lip and a highlight over the upper lip."""
        y = self._y
        window = smoothstep(1.15, 0.55, np.abs(self._x) / half)
        shadow = bump((y - outer_low - 0.028) / 0.042) * window
        rim = bump((y - outer_up + 0.020) / 0.018) * window
        fade = smoothstep(1.35, 0.95, np.abs(self._x) / half)
        flush = bump((y - 0.5 * (outer_up + outer_low)) / (0.5 * (outer_low - outer_up) + 0.05)) * fade
        out = out * (1.0 - 0.24 * shadow + 0.05 * rim)[..., None]
        tint = np.array((0.95, 0.93, 1.0), np.float32)
        return mix(out, out * tint, 0.6 * flush)

    def _upper_lip(self, y: Field, inner: Field, outer: Field, s: Field, shape: MouthShape) -> Field:
        t = np.clip((y - outer) / np.maximum(inner - outer, 1e-3), 0.0, 1.0)
        tone = 0.98 - 0.30 * t * t - 0.10 * s * s + self._creases
        tone = tone + 0.07 * bump((t - 0.16) / 0.16)
        return self._lips * self._light * tone[..., None]

    def _lower_lip(self, y: Field, inner: Field, outer: Field, s: Field, shape: MouthShape) -> Field:
        t = np.clip((y - inner) / np.maximum(outer - inner, 1e-3), 0.0, 1.0)
        tone = 1.06 - 0.34 * t * t - 0.14 * bump(t / 0.12) - 0.12 * s * s + self._creases
        side = 0.22 * self._look.light_side
        wet = bump((t - 0.36) / 0.17, (s - side) / 0.34) * (1.0 + 4.0 * self._creases)
        colour = self._lips * self._light * tone[..., None]
        gloss = (0.20 if self._look.is_feminine else 0.11) * wet
        return colour + gloss[..., None] * self._light

    def _interior(self, shape: MouthShape, gap: float, up: Field, low: Field) -> Field:
        """Cavity, teeth and tongue at every pixel of the window. The caller applies the mask."""
        x, y, soft = self._x, self._y, self._soft
        depth = np.clip((y - up) / max(gap, 0.02), 0.0, 1.0)
        cavity = np.array((0.085, 0.075, 0.20), np.float32)
        colour: Field = cavity * (0.55 + 0.75 * depth)[..., None]
        narrow = max(-shape.width, 0.0)

        reach = low - 0.02 - 0.055 * (1.0 - np.square(x / 0.40)) - 0.10 * gap
        raised = 0.055 + 0.01 * np.square(x / 0.2)
        top = reach + (np.minimum(raised, reach) - reach) * shape.tongue
        tongue_half = 0.30 - 0.09 * shape.tongue - 0.05 * narrow
        body = smoothstep(-2 * soft, 2 * soft, y - top - 0.25 * np.square(x / 0.3) * 0.15)
        body = body * smoothstep(tongue_half + 2 * soft, tongue_half - 3 * soft, np.abs(x))
        flesh = np.array((0.42, 0.40, 0.70), np.float32)
        tone = 0.62 + 0.34 * bump((y - top - 0.05) / 0.06) - 0.14 * bump(x / 0.03)
        tone = tone * (0.62 + 0.38 * min(1.0, 2.4 * gap + 0.5 * shape.tongue))
        colour = mix(colour, flesh * tone[..., None], 0.95 * body)

        closed = min(1.4 * shape.teeth, 1.0) * (1.0 - min(2.2 * shape.open, 1.0))
        bared = min(max(1.0 - 0.95 * narrow + 0.45 * closed, 0.0), 1.0)
        enamel = np.array((0.76, 0.84, 0.87), np.float32)
        crowns = 0.072 + 0.014 * bump(x / 0.10) - 0.034 * smoothstep(0.08, 0.32, np.abs(x))
        edge_up = -0.020 + crowns + 0.006 * (self._tooth_line - 1.0)
        teeth_up = smoothstep(soft, -soft, y - edge_up) * smoothstep(0.33, 0.27, np.abs(x))
        shade = 0.60 + 0.40 * smoothstep(0.0, 0.05, y - up)
        tone = self._tooth_line * shade * (0.26 + 0.74 * bared)
        upper_teeth = enamel * self._light * tone[..., None]

        jaw_line = (0.085 + 0.70 * JAW_DROP * shape.jaw) * (1.0 - closed) + 0.070 * closed
        edge_low = jaw_line + 0.020 * np.square(x / 0.25)
        teeth_low = smoothstep(-soft, soft, y - edge_low) * smoothstep(0.30, 0.25, np.abs(x))
        tone = self._tooth_line * (0.26 + 0.40 * bared) * (0.7 + 0.3 * smoothstep(0.10, 0.0, y - edge_low))
        colour = mix(colour, enamel * self._light * tone[..., None], 0.92 * teeth_low)
        colour = mix(colour, upper_teeth, 0.97 * teeth_up)
        if shape.tongue > 0.6:  # for th the tip covers the edge of the upper teeth
            tip = bump(x / 0.19, (y - 0.35 * up - 0.65 * low) / 0.042) * (shape.tongue - 0.6) * 2.4
            colour = mix(colour, flesh * 0.86, np.clip(tip, 0.0, 0.85))
        return colour
