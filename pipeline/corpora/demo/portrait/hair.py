"""Hair behind the neck and on the head, with a texture of strands; beards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.corpora.demo.portrait.field import (
    Canvas,
    Field,
    blur_field,
    bump,
    mix,
    noise,
    sample_tile,
    smoothstep,
    to_linear,
)
from pipeline.corpora.demo.portrait.head import CRANIUM
from pipeline.corpora.demo.portrait.look import Look


@dataclass(frozen=True)
class _Cut:
    """Shape of one hair style in face coordinates: thickness over the skull, and the opening for the face."""

    top: float
    side: float
    bottom: float
    """v at which the hair ends at the sides"""
    opening_half: float
    opening_top: float
    back_half: float
    """half width behind the neck, 0 without hair there"""
    back_bottom: float
    rough: float
    """roughness of the outer edge"""
    part: float
    """u of the parting, at which the strands start"""
    density: float


_CUTS = {
    "crop": _Cut(0.10, 0.035, 0.16, 0.915, -0.80, 0.0, 0.0, 0.008, 0.25, 0.97),
    "part": _Cut(0.17, 0.050, 0.20, 0.910, -0.74, 0.0, 0.0, 0.007, -0.45, 1.0),
    "buzz": _Cut(0.03, 0.010, 0.10, 0.930, -0.82, 0.0, 0.0, 0.004, 0.0, 0.80),
    "long": _Cut(0.13, 0.150, 2.60, 0.850, -0.80, 1.20, 3.00, 0.004, -0.15, 1.0),
    "bob": _Cut(0.15, 0.200, 1.30, 0.850, -0.76, 1.15, 1.32, 0.004, 0.25, 1.0),
    "bangs": _Cut(0.14, 0.130, 2.60, 0.850, -0.42, 1.14, 3.00, 0.004, 0.0, 1.0),
    "bun": _Cut(0.06, 0.020, 0.02, 0.930, -0.82, 0.0, 0.0, 0.004, 0.0, 1.0),
    "curly": _Cut(0.24, 0.250, 0.95, 0.860, -0.72, 1.16, 1.15, 0.026, 0.0, 1.0),
}


def _strands(look: Look, cut: _Cut, canvas: Canvas, u: Field, v: Field) -> Field:
    """The brightness of single strands in about [-1, 1], float32 [H, W]. Strands start at the parting."""
    rng = np.random.default_rng([look.seed, 2])
    side = 256
    tile = noise(rng, side, 128, 10)
    blobs = noise(rng, side, 26)
    if look.hair_style == "curly":
        x, y = u * 0.30 * side + 0 * v, v * 0.30 * side + 0 * u
        swirl = 7.0 * sample_tile(blobs, x * 0.7 + 31, y * 0.7 + 11)
        return np.clip(
            0.65 * sample_tile(blobs, x * 1.5 + swirl, y * 1.5 - swirl)
            + 0.4 * sample_tile(tile, (x + y) + 3 * swirl, (y - x) * 0.4 + swirl),
            -1.6,
            1.6,
        )
    du, dv = u - cut.part, v + CRANIUM + 0.12
    angle = np.arctan2(du, np.maximum(dv, 0.02) + 0 * du)
    radius = np.sqrt(du * du + dv * dv)
    wave = 0.05 * np.sin(4.2 * radius + 2.0 * angle) if look.hair_style == "long" else 0.0
    turn = (angle + wave) / (2.0 * np.pi) * side
    fine = sample_tile(tile, turn * 3.0, radius * 12.0)
    coarse = sample_tile(tile, turn * 0.9 + 17.0, radius * 5.0 + 40.0)
    return np.clip(0.6 * fine + 0.55 * coarse, -1.6, 1.6)


def _edge_noise(look: Look, cut: _Cut, u: Field, v: Field) -> Field:
    rng = np.random.default_rng([look.seed, 3])
    tile = noise(rng, 256, 64)
    return cut.rough * sample_tile(tile, u * 70.0 + 0 * v + 5, v * 70.0 + 0 * u + 9)


def _colour(look: Look, cut: _Cut, canvas: Canvas, u: Field, v: Field, body: Field) -> Field:
    """Linear RGB of hair, float32 [H, W, 3]. ``body``: depth of each pixel inside the hair, 0 to 1."""
    base = to_linear(look.hair).astype(np.float32)
    strands = _strands(look, cut, canvas, u, v)
    lx = look.light[0]
    sheen_at = -0.98 + 0.30 * u * u
    sheen = bump((v - sheen_at) / 0.20) * smoothstep(-1.3, 0.6, u * look.light_side * np.ones_like(v))
    form = 0.34 + 0.42 * smoothstep(0.9, -1.3, v - 0.5 * lx * u) + 0.30 * u * lx
    tone = np.clip(form, 0.12, 1.1) * (0.86 + 0.24 * strands) * (0.55 + 0.45 * body)
    gloss = np.clip(sheen * (0.5 + 0.45 * strands), 0.0, 1.0) * (0.05 + 0.16 * base.mean())
    warm = np.array((1.0, 0.93, 0.84), np.float32)
    return (base * 1.45 * tone[..., None] + gloss[..., None] * warm).astype(np.float32)


def paint_back(look: Look, canvas: Canvas) -> tuple[Field, Field]:
    """Hair behind neck and shoulders: linear RGB float32 [H, W, 3] and alpha float32 [H, W]."""
    u, v = canvas.grid()
    cut = _CUTS[look.hair_style]
    if cut.back_half == 0.0:
        empty = np.zeros((canvas.side_px, canvas.side_px), np.float32)
        return np.repeat(empty[..., None], 3, axis=2), empty
    ragged = _edge_noise(look, cut, u, v)
    half = cut.back_half * (0.96 + 0.05 * np.sin(2.3 * v))
    soft = 1.5 / canvas.unit_px
    top = np.power(np.maximum(-(v - 0.1), 0) / (CRANIUM + 0.1 + cut.top), 2.4)
    low = np.power(np.maximum(v - 0.1, 0) / (cut.back_bottom - 0.1), 5.0)
    r = np.sqrt(np.square(u / half) + top + low) + ragged
    alpha = smoothstep(1.0 + soft, 1.0 - soft, r)
    colour = _colour(look, cut, canvas, u, v, smoothstep(1.1, 0.55, r))
    shadow = 1.0 - 0.62 * smoothstep(1.15, 0.75, np.abs(u)) * smoothstep(0.3, 0.9, v)
    return colour * shadow[..., None], alpha


def paint_front(look: Look, canvas: Canvas) -> tuple[Field, Field, Field]:
    """Hair on the head: linear RGB float32 [H, W, 3], alpha and cast shadow on the skin, float32 [H, W]."""
    u, v = canvas.grid()
    cut = _CUTS[look.hair_style]
    a = np.abs(u)
    ragged = _edge_noise(look, cut, u, v)
    soft = 1.5 / canvas.unit_px
    wide = 1.0 + cut.side
    top = np.power(np.maximum(-v, 0) / (CRANIUM + cut.top), 2.3)
    grow = 0.06 * smoothstep(0.0, 1.6, v) if cut.bottom > 2.0 else 0.0
    r = np.power(a / (wide + grow), 2.3) + top + 1.6 * ragged
    outer = smoothstep(1.0 + 2 * soft, 1.0 - 2 * soft, r)
    if look.hair_style == "bun":
        knot = np.square(u / 0.36) + np.square((v + CRANIUM + 0.20) / 0.30) + 2 * ragged
        outer = np.maximum(outer, smoothstep(1.05, 0.95, knot))

    shift = cut.part * 0.10
    centre = 0.35
    tall = centre - cut.opening_top
    lift: Field | float = 0.0
    if look.hair_style in ("part", "long", "bob"):  # the fringe falls to the sides of the parting
        away = u - cut.part
        lift = 0.16 * bump(away / 0.20) - 0.13 * smoothstep(0.1, 0.8, away * (1.0 if cut.part < 0 else -1.0))
    fringe = _fringe(look, cut, u)
    y = np.maximum(centre - v, 0) / np.maximum(tall + lift - fringe, 0.2)
    power = 3.4 if look.hair_style == "bangs" else 2.6
    opening_half = cut.opening_half + (0.10 * smoothstep(0.3, 1.4, v) if cut.bottom > 2.0 else 0.0)
    hole = np.power(np.abs(u - shift * smoothstep(0.2, -0.6, v)) / opening_half, power)
    hole = hole + np.power(y, power) + 2.2 * ragged
    edge = 0.055 if cut.density < 1.0 else 0.030
    closed = smoothstep(1.0 - edge * 2, 1.0 + edge * 3, hole)
    fade = 0.11 if cut.bottom < 0.5 else 0.03
    ends = smoothstep(cut.bottom + fade, cut.bottom - fade, v + 3.0 * ragged + 0.10 * a * a)
    alpha = outer * closed * ends * cut.density
    deep = np.minimum(smoothstep(1.0, 0.80, r), smoothstep(1.0, 1.5, hole))
    colour = _colour(look, cut, canvas, u, v, np.clip(0.35 + 0.65 * deep, 0, 1))
    lx = look.light[0]
    reach = canvas.unit_px * 0.06
    cast = blur_field(alpha, reach)
    rows, columns = round(reach * 0.9), round(-lx * reach)
    cast = np.roll(cast, (rows, columns), axis=(0, 1))
    return colour, alpha.astype(np.float32), np.clip(cast, 0.0, 1.0).astype(np.float32)


def _fringe(look: Look, cut: _Cut, u: Field) -> Field | float:
    """How far the fringe hangs below the hairline as a function of u, float32 [1, W]; 0.0 for other styles."""
    if look.hair_style not in ("bangs", "part", "crop"):
        return 0.0
    rng = np.random.default_rng([look.seed, 4])
    phases = rng.uniform(0, 2 * np.pi, 3)
    depth = {"bangs": 0.022, "part": 0.012, "crop": 0.018}[look.hair_style]
    waves = np.sin(13.0 * u + phases[0]) + 0.7 * np.sin(23.0 * u + phases[1]) + 0.5 * np.sin(41.0 * u + phases[2])
    return (-depth * waves).astype(np.float32)


def paint_beard(look: Look, canvas: Canvas) -> tuple[Field, Field]:
    """Beard or stubble on the lower face: linear RGB float32 [H, W, 3] and alpha float32 [H, W]."""
    u, v = canvas.grid()
    a = np.abs(u)
    side = canvas.side_px
    if look.beard == 0:
        empty = np.zeros((side, side), np.float32)
        return np.repeat(empty[..., None], 3, axis=2), empty
    rng = np.random.default_rng([look.seed, 5])
    m = look.mouth_height
    cheek_line = 0.52 + 0.50 * np.power(np.clip(1.0 - a, 0.0, 1.0), 0.62)
    area = smoothstep(cheek_line - 0.03, cheek_line + 0.10, v)
    moustache = (
        smoothstep(m - 0.26, m - 0.15, v - 0.30 * np.square(u) - 0.05 * bump(u / 0.035))
        * smoothstep(m + 0.05, m - 0.02, v - 0.5 * np.square(u))
        * smoothstep(0.56, 0.36, a)
    )
    bare = bump(u / 0.30, (v - m - 0.185) / 0.035) * 0.55
    area = np.clip(np.maximum(area * (1.0 - bare), 0.92 * moustache), 0.0, 1.0)
    bristle = noise(rng, side, side // 3, side // 5)
    patch = noise(rng, side, 40)
    base = to_linear(look.brow).astype(np.float32) * 0.9
    strength = 0.86 if look.beard == 2 else 0.42
    alpha = area * np.clip(strength + 0.10 * bristle + 0.05 * patch, 0.0, 0.97)
    shade = 0.85 + 0.22 * bristle
    lit = 0.75 + 0.35 * u * look.light[0] + 0.0 * v
    colour = base * np.clip(shade * lit, 0.2, 1.6)[..., None]
    return colour.astype(np.float32), alpha.astype(np.float32)


def cover(colour: Field, alpha: Field, over: Field, over_alpha: Field) -> tuple[Field, Field]:
    """Composite a layer over another one. Alpha is straight (not premultiplied)."""
    out_alpha = over_alpha + alpha * (1.0 - over_alpha)
    weight = over_alpha / np.maximum(out_alpha, 1e-4)
    return mix(colour, over, weight), out_alpha
