"""The layers behind and below the head: backdrop, neck, shoulders and clothes."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.corpora.demo.portrait.field import Canvas, Field, blur_field, bump, mix, noise, smoothstep, to_linear
from pipeline.corpora.demo.portrait.look import Look


def paint_backdrop(look: Look, canvas: Canvas) -> Field:
    """The out-of-focus background: linear RGB float32 [H, W, 3]."""
    rng = np.random.default_rng([look.seed, 6])
    side = canvas.side_px
    base = to_linear(look.backdrop).astype(np.float32)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    painter = {
        "studio": _studio,
        "bookshelf": _bookshelf,
        "window": _window,
        "bokeh": _bokeh,
        "panels": _panels,
    }[look.backdrop_style]
    image = painter(rng, base, x, y)
    vignette = 1.08 - 0.55 * (np.square(x - 0.5) + np.square(y - 0.45))
    grain = 1.0 + 0.012 * noise(rng, side, side // 2)
    return (image * (vignette * grain)[..., None]).astype(np.float32)


def _studio(rng: np.random.Generator, base: Field, x: Field, y: Field) -> Field:
    cx = rng.choice([0.2, 0.8])
    glow = bump((x - cx) / 0.55, (y - 0.35) / 0.6)
    cloth = 0.05 * noise(rng, x.shape[0], 5)
    return base * (0.38 + 0.80 * glow + cloth)[..., None]


def _bookshelf(rng: np.random.Generator, base: Field, x: Field, y: Field) -> Field:
    side = x.shape[0]
    image = np.tile(base * 0.35, (side, side, 1)).astype(np.float32)
    rows = 4
    for row in range(rows):
        top, bottom = row / rows * side, (row + 0.90) / rows * side
        at = -rng.uniform(0, 0.05) * side
        while at < side:
            width = rng.uniform(0.025, 0.07) * side
            height = rng.uniform(0.62, 0.96) * (bottom - top)
            hue = np.asarray(
                (rng.uniform(0.35, 0.75) + rng.uniform(-0.22, 0.22, 3)) * rng.uniform(0.5, 1.0), np.float32
            )
            colour = mix(to_linear(hue), base, 0.45)
            corner = (round(at), round(bottom - height))
            far = (round(at + width * 0.9), round(bottom))
            cv2.rectangle(image, corner, far, colour.tolist(), -1)
            at += width
        cv2.rectangle(
            image, (0, round(bottom)), (side, round((row + 1) / rows * side)),
            (base * 0.85).tolist(), -1,
        )  # fmt: skip
    return blur_field(image, side * 0.011) * (0.75 + 0.4 * x)[..., None]


def _window(rng: np.random.Generator, base: Field, x: Field, y: Field) -> Field:
    side = x.shape[0]
    image = np.tile(base * 0.55, (side, side, 1)).astype(np.float32)
    left = rng.choice([0.02, 0.56])
    sky = np.array((0.80, 0.90, 1.0), np.float32)
    for row in range(3):
        for column in range(2):
            x0, y0 = left + column * 0.22, 0.04 + row * 0.27
            p0 = (round(x0 * side), round(y0 * side))
            p1 = (round((x0 + 0.20) * side), round((y0 + 0.25) * side))
            cv2.rectangle(image, p0, p1, (sky * (0.95 - 0.12 * row)).tolist(), -1)
    leaves = np.clip(noise(rng, side, 18), 0, 2) * smoothstep(0.3, 0.9, y)
    image = mix(image, np.array((0.18, 0.30, 0.16), np.float32), np.clip(0.35 * leaves, 0, 0.6))
    return blur_field(image, side * 0.016)


def _bokeh(rng: np.random.Generator, base: Field, x: Field, y: Field) -> Field:
    side = x.shape[0]
    image = base * (0.55 + 0.5 * (1.0 - y))[..., None]
    for _ in range(26):
        centre = tuple(int(c) for c in rng.integers(0, side, 2))
        radius = int(side * rng.uniform(0.02, 0.065))
        spot = np.zeros((side, side), np.float32)
        cv2.circle(spot, centre, radius, 1.0, -1)
        tint = to_linear(np.asarray(rng.uniform(0.45, 1.0, 3), np.float32))
        tint = mix(tint, np.array((1.0, 0.72, 0.38), np.float32), 0.5)
        image = image + (rng.uniform(0.08, 0.42) * blur_field(spot, side * 0.006))[..., None] * tint
    return blur_field(image, side * 0.005)


def _panels(rng: np.random.Generator, base: Field, x: Field, y: Field) -> Field:
    side = x.shape[0]
    period = rng.uniform(0.16, 0.24)
    t = np.mod(x + 0.03 * y + rng.uniform(0, 1), period) / period
    groove = bump((t - 0.5) / 0.06)
    tone = 0.72 + 0.05 * t - 0.28 * groove + 0.03 * noise(rng, side, 6, 40)
    frame = np.zeros((side, side), np.float32)
    left = rng.choice([0.03, 0.74])
    p0, p1 = (round(left * side), round(0.10 * side)), (round((left + 0.22) * side), round(0.42 * side))
    cv2.rectangle(frame, p0, p1, 1.0, -1)
    art = mix(base, to_linear(np.asarray(rng.uniform(0.3, 0.7, 3), np.float32)), 0.4)
    image = mix(base * tone[..., None], art, blur_field(frame, side * 0.006) * 0.8)
    return blur_field(image, side * 0.006) * (0.70 + 0.5 * (1.0 - y))[..., None]


def paint_body(look: Look, canvas: Canvas) -> tuple[Field, Field]:
    """Neck, shoulders and clothes: linear RGB float32 [H, W, 3] and alpha float32 [H, W]."""
    u, v = canvas.grid()
    rng = np.random.default_rng([look.seed, 7])
    a = np.abs(u)
    soft = 1.5 / canvas.unit_px
    neck_half = (0.52 if look.is_feminine else 0.64) + 0.10 * np.square(smoothstep(1.5, 2.0, v))
    neck = smoothstep(neck_half + soft, neck_half - soft, a) * smoothstep(0.2, 0.4, v)
    lx = look.light[0]
    round_ = np.sqrt(np.clip(1.0 - np.square(u / (neck_half + 0.06)), 0.02, 1.0))
    facing = np.clip(0.46 + 0.34 * round_ + 0.40 * lx * u, 0.1, 1.0)
    under_chin = smoothstep(look.chin + 0.34, look.chin - 0.02, v + 0.28 * u * u + 0.10 * lx * u)
    facing = facing * (1.0 - 0.66 * under_chin)
    cords = bump((a - 0.26 - 0.1 * (2.0 - v)) / 0.05) * 0.07
    skin = to_linear(look.skin).astype(np.float32) * np.array((0.98, 0.90, 0.86), np.float32)
    colour = skin * (facing * (1 - cords))[..., None]

    drop = {"crew": 0.16, "shirt": 0.20, "scoop": 0.34, "turtle": -0.06}[look.collar]
    slope = 1.60 + 0.12 * a + 0.04 * np.square(a)
    collar = look.chin + 0.24 + drop * np.sqrt(np.clip(1.0 - np.square(a / 0.72), 0.0, 1.0))
    blend = smoothstep(0.50, 0.78, a)
    line = collar * (1.0 - blend) + np.maximum(slope, collar - 0.12) * blend
    cloth_alpha = smoothstep(line - 1.5 * soft, line + 1.5 * soft, v)
    weave = noise(rng, canvas.side_px, canvas.side_px // 4, canvas.side_px // 4)
    folds = noise(rng, canvas.side_px, 9, 5)
    form = 0.62 + 0.26 * lx * u - 0.30 * smoothstep(0.9, 1.9, a) + 0.06 * folds + 0.03 * weave
    rim = bump((v - line - 0.05) / 0.035)
    cloth = to_linear(look.cloth).astype(np.float32) * np.clip(form - 0.10 * rim, 0.1, 1.2)[..., None]
    if look.collar == "shirt":
        flap = smoothstep(0.0, 0.02, 0.30 - np.abs(a - 0.42) - 0.9 * np.abs(v - line - 0.12))
        cloth = mix(cloth, cloth * 1.22, flap * 0.8)
        gap = smoothstep(0.02, 0.0, np.abs(u) - 0.012) * smoothstep(line, line + 0.1, v)
        cloth = mix(cloth, cloth * 0.55, gap)
    if look.collar == "turtle":
        ribs = 1.0 + 0.07 * np.sin(u * 60.0) * smoothstep(line + 0.30, line + 0.2, v)
        cloth = cloth * ribs[..., None]
    contact = bump((v - line + 0.02) / 0.06) * (a < 0.8)
    colour = mix(colour, colour * 0.55, 0.7 * contact)
    alpha = np.maximum(neck, cloth_alpha)
    return mix(colour, cloth, cloth_alpha).astype(np.float32), alpha.astype(np.float32)
