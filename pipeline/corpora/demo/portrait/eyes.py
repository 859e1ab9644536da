"""Eyes, painted per frame from lids and gaze; brows and glasses, painted once."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.corpora.demo.portrait.field import Canvas, Field, blur_field, bump, mix, smoothstep, to_display, to_linear
from pipeline.corpora.demo.portrait.head import EYE_U
from pipeline.corpora.demo.portrait.look import Look

_HALF = 0.205
_IRIS = 0.103


class EyePainter:
    """Paints both eyes of one speaker onto the head."""

    def __init__(self, look: Look, canvas: Canvas, light: Field) -> None:
        self._look = look
        self.rows, self.columns = canvas.window(-0.78, 0.78, -0.24, 0.22)
        u, v = canvas.grid()
        u, v = u[:, self.columns], v[self.rows]
        size = look.eye_size
        self._soft = 1.0 / canvas.unit_px / size
        self._side = np.sign(u) * np.ones_like(v)
        self._x = ((np.abs(u) - EYE_U) / size + 0.0 * v).astype(np.float32)
        self._y = (v / size + look.eye_tilt * self._x).astype(np.float32)
        self._s = np.clip(self._x / _HALF, -1.0, 1.0)
        self._arc = 1.0 - np.power(np.abs(self._s + 0.10 * (1 - self._s**2)), 2.3)
        self._low_arc = 1.0 - np.power(np.abs(self._s), 2.0)
        window = light[self.rows, self.columns]
        self._light = np.power(np.clip(window, 0.05, 1.1), 1.0 / 2.2)[..., ::-1]
        skin = to_linear(look.skin)
        self._lid = to_display(skin * np.array((0.74, 0.58, 0.56)))[::-1]
        self._iris = np.asarray(look.iris, np.float32)[::-1]
        self._line = np.array((0.07, 0.06, 0.08), np.float32)

    def paint(self, image: NDArray[np.uint8], shut: float, gaze: tuple[float, float]) -> None:
        """Paint in place on uint8 [H, W, >=3] BGR. ``shut``: 0 open to 1 closed; ``gaze``: (x, y) in about [-1, 1]."""
        x, y, s = self._x, self._y, self._s
        soft = self._soft
        look = self._look
        low = 0.062 * self._low_arc
        widest = -0.102 * self._arc
        upper = widest + (low + 0.004 - widest) * shut
        almond = smoothstep(1.0 + soft / _HALF, 1.0 - soft / _HALF, np.abs(x / _HALF))
        ball = almond * smoothstep(-soft, soft, y - upper) * smoothstep(-soft, soft, low - y)

        white = np.array((0.86, 0.88, 0.90), np.float32)
        shadow = 1.0 - 0.42 * np.exp(-np.maximum(y - upper, 0.0) / 0.035) - 0.28 * np.square(s)
        colour = white * shadow[..., None]
        gx = x * self._side - 0.045 * gaze[0] + 0.012 * self._side
        gy = y + 0.012 - 0.03 * gaze[1]
        d = np.sqrt(gx * gx + gy * gy) / _IRIS
        rays = 0.80 + 0.50 * d + 0.30 * np.clip(gy / _IRIS, -1, 1)
        iris = self._iris * (rays * (1.0 - 0.62 * smoothstep(0.76, 1.0, d)))[..., None]
        iris = mix(iris, 0.30 * self._iris, 0.75 * np.exp(-np.maximum(y - upper, 0) / 0.022))
        edge = soft / _IRIS * 1.6
        colour = mix(colour, iris, smoothstep(1.0 + edge, 1.0 - edge, d))
        colour = mix(colour, self._line, smoothstep(0.46 + edge, 0.46 - edge, d))
        pink = bump((s + 1.0) / 0.20)
        colour = mix(colour, np.array((0.50, 0.50, 0.72), np.float32), 0.8 * pink)
        colour = colour * np.clip(0.25 + 0.85 * self._light, 0, 1.05)
        glint_x = gx - 0.032 * look.light_side
        glint = bump(glint_x / 0.021, (gy + 0.038) / 0.021)
        colour = mix(colour, 1.0, 0.92 * glint)

        lid = almond * smoothstep(-soft, soft, y - widest + 0.012) * (1.0 - ball)
        lid = lid * smoothstep(soft, -soft, y - np.maximum(upper, low))
        lid_colour = self._lid * (self._light * (0.90 + 1.2 * (y - widest))[..., None])
        thick = 0.019 if look.is_feminine else 0.013
        taper = smoothstep(-1.05, -0.3, s) * smoothstep(1.0 + soft / _HALF, 0.98, x / _HALF)
        lash = bump((y - upper + thick * 0.35) / (thick * (0.55 + 0.5 * (s + 1.0)))) * taper
        wing = bump((y - upper + 0.10 * (x - 0.17)) / 0.013) * bump((x - 0.215) / 0.035)
        if look.is_feminine:
            lash = np.maximum(lash, 0.8 * wing)
        under = 0.42 * bump((y - low - 0.006) / 0.010) * almond * smoothstep(-0.9, 0.6, s)
        crease_at = -0.155 * self._arc + 0.012
        crease = 0.42 * (1.0 - 0.6 * shut) * bump((y - crease_at) / 0.012) * almond

        target = image[self.rows, self.columns, :3]
        out = target.astype(np.float32) * (1.0 / 255.0)
        out = out * (1.0 - crease)[..., None]
        out = mix(out, lid_colour, lid)
        out = mix(out, colour, ball)
        out = mix(out, self._line, np.clip(np.maximum(lash, under), 0.0, 0.94))
        target[...] = np.clip(out * 255.0 + 0.5, 0, 255).astype(np.uint8)


def paint_brows(look: Look, canvas: Canvas) -> tuple[Field, Field]:
    """Eyebrows, painted hair by hair: linear RGB float32 [3] and alpha float32 [H, W]."""
    rng = np.random.default_rng([look.seed, 8])
    alpha = np.zeros((canvas.side_px, canvas.side_px), np.float32)
    count = 190
    for side in (-1.0, 1.0):
        for t in rng.uniform(0.0, 1.0, count):
            u = 0.155 + 0.57 * t
            arch = -0.252 - 0.066 * np.sin(np.pi * np.clip((t - 0.05) / 1.05, 0, 1)) + 0.055 * t**3
            half = 0.036 * look.brow_weight * (1.0 - 0.72 * t**2.2) * (0.55 + 0.45 * min(t * 5, 1))
            v = arch + rng.uniform(-1.0, 1.0) * half
            lean = np.deg2rad(-70 + 78 * min(t * 1.7, 1.0) + rng.normal(0, 9))
            length = rng.uniform(0.035, 0.06)
            ends = []
            for k in (-0.5, 0.5):
                px = canvas.to_px(side * (u + k * length * np.cos(lean)), v + k * length * np.sin(lean))
                ends.append((round(px[0] * 16), round(px[1] * 16)))
            stroke = float(rng.uniform(0.55, 1.0))
            width = max(1, round(0.011 * canvas.unit_px))
            cv2.line(alpha, ends[0], ends[1], stroke, width, cv2.LINE_AA, 4)
    alpha = blur_field(alpha, 0.007 * canvas.unit_px)
    alpha = np.maximum(alpha, 0.75 * blur_field(alpha, 0.018 * canvas.unit_px))
    alpha = 1.0 - np.power(1.0 - np.clip(alpha, 0.0, 1.0), 1.7)
    strength = 0.84 if look.is_feminine else 0.93
    return to_linear(look.brow).astype(np.float32) * 0.7, alpha * strength


def paint_glasses(look: Look, canvas: Canvas) -> tuple[NDArray[np.float32], Field]:
    """Frame, glare and shadow of the glasses: display BGR float32 [H, W, 3] and alpha float32 [H, W]."""
    side = canvas.side_px
    fine = canvas.finer(2)
    rng = np.random.default_rng([look.seed, 9])
    tone = np.asarray([(0.10, 0.09, 0.10), (0.12, 0.17, 0.30), (0.30, 0.30, 0.32)][rng.integers(3)])
    frame = np.zeros((fine.side_px, fine.side_px), np.float32)
    lens = np.zeros_like(frame)
    power = float(rng.uniform(2.4, 4.2))
    half_u, half_v = 0.315, 0.235
    angles = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    c, s = np.cos(angles), np.sin(angles)
    ring_u = np.sign(c) * np.abs(c) ** (2 / power) * half_u
    ring_v = np.sign(s) * np.abs(s) ** (2 / power) * half_v + 0.035
    width = max(2, round(0.034 * fine.unit_px))
    for eye in (-1, 1):
        points = np.stack(fine.to_px(0, 0)) + np.stack([ring_u + eye * EYE_U, ring_v], 1) * fine.unit_px
        fixed = np.round(points * 16).astype(np.int32)
        cv2.fillPoly(lens, [fixed], 1.0, cv2.LINE_AA, 4)
        cv2.polylines(frame, [fixed], True, 1.0, width, cv2.LINE_AA, 4)
        ends = [fine.to_px(eye * u, v) for u, v in ((EYE_U + half_u, -0.03), (1.02, -0.01))]
        start, end = [tuple(round(p * 16) for p in point) for point in ends]
        cv2.line(frame, start, end, 1.0, width, cv2.LINE_AA, 4)
    bridge = np.array([fine.to_px(u, 0.0 - 0.035 * np.cos(u / 0.14 * np.pi / 2)) for u in
                       np.linspace(-0.135, 0.135, 12)])  # fmt: skip
    cv2.polylines(frame, [np.round(bridge * 16).astype(np.int32)], False, 1.0, width, cv2.LINE_AA, 4)
    frame = cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA)
    lens = cv2.resize(lens, (side, side), interpolation=cv2.INTER_AREA)
    u, v = canvas.grid()
    streak = smoothstep(0.05, 0.0, np.abs(np.mod(u + 0.7 * v + 0.62, 0.88) - 0.44) - 0.05)
    glare = 0.10 * lens * streak * smoothstep(0.2, -0.15, v) + 0.03 * lens
    shadow = 0.22 * np.roll(blur_field(frame, 0.025 * canvas.unit_px), round(0.05 * canvas.unit_px), 0)
    sheen = 0.25 * smoothstep(0.06, -0.18, v) * np.ones_like(u)
    colour = np.zeros((side, side, 3), np.float32)
    colour = mix(colour, 1.0, glare / np.maximum(glare + shadow, 1e-4))
    alpha = 1.0 - (1.0 - glare) * (1.0 - shadow)
    metal = (tone + sheen[..., None] * 0.5).astype(np.float32)
    return mix(colour, metal, frame), np.maximum(alpha, frame)
