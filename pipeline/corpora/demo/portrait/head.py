"""The head: a height field of the face, its shading, and the skin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.corpora.demo.portrait.field import Canvas, Field, blur_field, bump, mix, noise, smoothstep, to_linear
from pipeline.corpora.demo.portrait.look import Look

CRANIUM = 1.42
"""Height of the skull's top above the eye line, in face coordinates."""
EYE_U = 0.44
"""Distance of each eye's centre from the middle line, in face coordinates."""


@dataclass(frozen=True)
class Head:
    """The painted skin, and its depth and lighting for later layers. Colours are linear RGB."""

    colour: Field
    """float32 [H, W, 3]"""
    alpha: Field
    """float32 [H, W] in [0, 1]"""
    depth: Field
    """float32 [H, W]: height towards the viewer; smooth outside the outline too"""
    light: Field
    """float32 [H, W, 3]: incident light, about 1 at full illumination"""


def outline(look: Look, u: Field, v: Field) -> Field:
    """An implicit function of the face: below 1 inside, 1 on the outline, above 1 outside. float32 [H, W]."""
    power = 2.15 + (look.cheek_power - 2.15) * smoothstep(-0.5, 0.5, v)
    along = np.where(
        v > 0,
        np.power(np.maximum(v, 0.0) / look.chin, look.jaw_power),
        np.power(np.maximum(-v, 0.0) / CRANIUM, 2.4),
    )
    return (np.power(np.abs(u), power) + along).astype(np.float32)


def relief(look: Look, u: Field, v: Field) -> tuple[Field, Field]:
    """Two height fields, float32 [H, W]: the face with all features, and the smooth skull alone."""
    r = outline(look, u, v)
    skull = 0.80 * np.power(np.maximum(1.0 - np.power(r, 1.2), 0.0), 0.56)
    a = np.abs(u)
    nose = look.nose_length
    tip, base = 0.56 * nose, 0.70 * nose
    ridge_width = (0.085 + 0.055 * smoothstep(0.0, 0.55, v)) * look.nose_width
    rise = 0.05 + 0.24 * np.power(smoothstep(-0.25, tip + 0.05, v), 1.3)
    ridge = rise * (1.0 - smoothstep(tip + 0.01, base + 0.03, v)) * smoothstep(-0.5, -0.05, v)
    mouth = look.mouth_height
    fold_at = 0.24 + 0.26 * smoothstep(0.56, 1.1, v) ** 0.8
    fold = bump((a - fold_at) / 0.055) * smoothstep(0.52, 0.68, v) * (1 - smoothstep(0.9, 1.15, v))
    details = (
        0.055 * bump((a - 0.42) / 0.34, (v + 0.24) / 0.10)
        - 0.125 * bump((a - EYE_U) / 0.25, (v + 0.01) / 0.16)
        - 0.05 * bump((a - 0.17) / 0.10, (v - 0.02) / 0.14)
        + 0.055 * bump((a - EYE_U) / 0.17, (v - 0.0) / 0.11)
        + ridge * bump(u / ridge_width)
        + 0.095 * bump(u / (0.115 * look.nose_width), (v - tip) / 0.095)
        + 0.085 * bump((a - 0.165 * look.nose_width) / 0.07, (v - tip - 0.065) / 0.065)
        + 0.075 * bump((a - 0.56) / 0.26, (v - 0.40) / 0.20)
        + 0.085 * bump(u / 0.44, (v - mouth) / 0.22)
        - 0.014 * bump(u / 0.045, (v - (base + mouth - 0.12) / 2 - 0.01) / 0.07)
        + 0.085 * bump(u / 0.24, (v - (look.chin - 0.15)) / 0.12)
        - 0.050 * bump(u / 0.27, (v - mouth - 0.20) / 0.065)
        - (0.012 + 0.020 * look.age) * fold
        - 0.040 * bump((a - 0.86) / 0.16, (v + 0.18) / 0.30)
    )
    return (skull + details).astype(np.float32), skull.astype(np.float32)


def _lit(look: Look, canvas: Canvas, height: Field) -> tuple[Field, Field, Field]:
    """Diffuse shading, specular highlight and ambient occlusion of a height field, each float32 [H, W]."""
    step = 1.0 / canvas.unit_px
    dz_dv, dz_du = np.gradient(blur_field(height, canvas.unit_px * 0.012), step)
    norm = 1.0 / np.sqrt(1.0 + dz_du**2 + dz_dv**2)
    nx, ny, nz = -dz_du * norm, -dz_dv * norm, norm
    lx, ly, lz = look.light
    wrap = 0.28
    diffuse = np.clip((nx * lx + ny * ly + nz * lz + wrap) / (1.0 + wrap), 0.0, 1.0)
    hx, hy, hz = lx, ly, lz + 1.0
    length = float(np.sqrt(hx * hx + hy * hy + hz * hz))
    shine = np.power(np.clip((nx * hx + ny * hy + nz * hz) / length, 0.0, 1.0), 26.0)
    hollow = blur_field(height, canvas.unit_px * 0.10) - height
    hollow = np.clip(1.0 - 2.6 * np.maximum(hollow, 0.0), 0.45, 1.0)
    return diffuse.astype(np.float32), shine.astype(np.float32), hollow.astype(np.float32)


def paint_head(look: Look, canvas: Canvas) -> Head:
    """The shaded skin of face and ears, without eyes, brows, mouth and hair."""
    u, v = canvas.grid()
    rng = np.random.default_rng([look.seed, 1])
    a = np.abs(u)
    r = outline(look, u, v)
    height, skull = relief(look, u, v)
    diffuse, shine, hollow = _lit(look, canvas, height)
    nose = look.nose_length
    side = look.light_side

    cast = bump((u + side * 0.17) / 0.13, (v - 0.66 * nose) / 0.15) * smoothstep(0.0, 0.09, -side * u)
    under_nose = bump(u / 0.20, (v - 0.735 * nose) / 0.06)
    diffuse = diffuse * (1.0 - 0.42 * cast) * (1.0 - 0.34 * under_nose)
    under_lip = bump(u / 0.26, (v - look.mouth_height - 0.19) / 0.05)
    diffuse = diffuse * (1.0 - 0.20 * under_lip)

    warm = np.array((1.0, 0.955 - 0.015 * look.warmth, 0.925 - 0.04 * look.warmth), np.float32)
    cool = np.array((0.30, 0.30, 0.345), np.float32)
    up = smoothstep(1.4, -1.2, v)
    light = (
        1.02 * diffuse[..., None] * warm
        + (0.45 + 0.55 * up * np.ones_like(diffuse))[..., None] * hollow[..., None] * cool
    )
    terminator = bump((diffuse - 0.30) / 0.20)
    light = light + terminator[..., None] * np.array((0.055, 0.004, -0.01), np.float32)

    skin = to_linear(look.skin).astype(np.float32)
    blush = np.array((1.06, 0.74, 0.72), np.float32)
    rosy = (
        0.50 * bump((a - 0.58) / 0.25, (v - 0.46) / 0.20)
        + 0.55 * bump(u / 0.20, (v - 0.58 * nose) / 0.16)
        + 0.25 * bump(u / 0.3, (v - look.chin + 0.12) / 0.15)
        + 0.40 * bump((a - 1.0) / 0.12, (v - 0.05) / 0.3)
    )
    socket = bump((a - EYE_U) / 0.26, (v - 0.10) / 0.15)
    lid = bump((a - EYE_U) / 0.24, (v + 0.11) / 0.09)
    side_px = canvas.side_px
    mottle = 0.025 * noise(rng, side_px, 24) + 0.018 * noise(rng, side_px, 90)
    freckle = np.clip(noise(rng, side_px, 150) - 2.0, 0.0, 1.0) * bump((a - 0.42) / 0.5, (v - 0.42) / 0.3)
    albedo: Field = skin * (1.0 + mottle)[..., None]
    albedo = mix(albedo, albedo * blush, np.clip(0.42 * rosy, 0.0, 0.8))
    shade = np.array((0.82, 0.72, 0.74), np.float32)
    albedo = mix(albedo, albedo * shade, np.clip((0.30 + 0.4 * look.age) * socket, 0, 0.7))
    tint = np.array((0.80, 0.66, 0.68), np.float32) if look.is_feminine else shade
    albedo = mix(albedo, albedo * tint, 0.55 * lid)
    if look.skin[0] > 0.8:
        albedo = mix(albedo, albedo * np.array((0.75, 0.62, 0.55), np.float32), 0.5 * freckle)
    pores = 1.0 + 0.03 * noise(rng, side_px, side_px // 3)
    gloss = shine * (0.045 + 0.03 * (0.9 - look.skin[0])) * pores
    colour: Field = albedo * light * pores[..., None] + gloss[..., None] * warm

    colour = _nostrils(look, colour, u, v)
    colour = _wrinkles(look, colour, u, v)
    soft = 2.2 * 1.6 / canvas.unit_px  # |grad r| is about 2.2 at the outline
    alpha = smoothstep(1.0, 1.0 - 2.0 * soft, r)
    rim = smoothstep(0.72, 1.0, r) * smoothstep(-0.8, -0.2, v)
    colour = colour * (1.0 - 0.30 * rim[..., None])
    colour, alpha = _ears(look, canvas, colour, alpha, u, v)
    depth = blur_field(np.maximum(skull, 0.0) + (height - skull) * (r < 1.0), canvas.unit_px * 0.05)
    return Head(colour.astype(np.float32), alpha, depth, light.astype(np.float32))


def _nostrils(look: Look, colour: Field, u: Field, v: Field) -> Field:
    a = np.abs(u)
    y = 0.665 * look.nose_length
    hole = bump((a - 0.085 * look.nose_width) / 0.050, (v - y - 0.12 * (a - 0.08)) / 0.026)
    wing = bump((a - 0.225 * look.nose_width) / 0.022, (v - y + 0.045) / 0.055)
    dark = np.clip(1.15 * hole, 0.0, 0.86)
    colour = mix(colour, colour * np.array((0.22, 0.11, 0.10), np.float32), dark)
    return mix(colour, colour * np.array((0.62, 0.50, 0.48), np.float32), 0.55 * wing)


def _wrinkles(look: Look, colour: Field, u: Field, v: Field) -> Field:
    """Add faint bags under the eyes and lines on the forehead."""
    a = np.abs(u)
    bag_at = 0.165 + 0.10 * np.square((a - EYE_U) / 0.25)
    bag = bump((v - bag_at + 0.05 * np.square((a - EYE_U) / 0.2)) / 0.02) * bump((a - EYE_U) / 0.2)
    lines = bump((np.mod(v + 0.05 * u * u + 0.66, 0.11) - 0.055) / 0.014)
    brow = lines * bump(u / 0.45) * smoothstep(-0.72, -0.62, v) * smoothstep(-0.38, -0.46, v)
    dark = 0.22 * look.age * brow + (0.12 + 0.22 * look.age) * bag
    return mix(colour, colour * np.array((0.70, 0.58, 0.56), np.float32), np.clip(dark, 0, 0.6))


def _ears(look: Look, canvas: Canvas, colour: Field, alpha: Field, u: Field, v: Field) -> tuple[Field, Field]:
    a = np.abs(u)
    x, y = (a - 1.00) / 0.135, (v - 0.13) / 0.29
    lean = x + 0.35 * y
    d = np.sqrt(lean * lean + y * y)
    soft = 1.5 / (0.14 * canvas.unit_px)
    ear = smoothstep(1.0 + soft, 1.0 - soft, d) * (1.0 - alpha)
    skin = to_linear(look.skin).astype(np.float32) * np.array((0.98, 0.80, 0.78), np.float32)
    lit = 0.60 + 0.32 * np.sign(u) * look.light_side * np.ones_like(d)
    inner = bump((d - 0.48) / 0.22)
    rim = smoothstep(0.6, 0.85, d)
    shade = (lit * (0.80 - 0.34 * inner + 0.16 * rim))[..., None]
    return mix(colour, skin * shade, ear), np.maximum(alpha, ear + alpha * (1 - ear))
