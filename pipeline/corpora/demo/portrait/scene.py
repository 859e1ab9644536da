"""Frames of one speaker: static layers, painted once, composed with pose and mouth controls."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.corpora.demo.portrait.backdrop import paint_backdrop, paint_body
from pipeline.corpora.demo.portrait.eyes import EyePainter, paint_brows, paint_glasses
from pipeline.corpora.demo.portrait.field import Canvas, Field, bump, mix, smoothstep, to_display
from pipeline.corpora.demo.portrait.hair import cover, paint_back, paint_beard, paint_front
from pipeline.corpora.demo.portrait.head import paint_head
from pipeline.corpora.demo.portrait.look import Look
from pipeline.corpora.demo.portrait.mouth import JAW_DROP, MouthPainter, MouthShape

_SCALE = 2
"""Supersampling factor of frames."""
_MARGIN = 0.06


@dataclass(frozen=True)
class HeadPose:
    """Pose of one frame. Lengths are in half face widths, angles in radians."""

    x: float = 0.0
    y: float = 0.0
    roll: float = 0.0
    zoom: float = 1.0
    yaw: float = 0.0
    pitch: float = 0.0
    shut: float = 0.0
    """eyelids, 0 open to 1 closed"""
    brow: float = 0.0
    """height of the brows in about [-1, 1]; 0 at rest"""
    gaze: tuple[float, float] = (0.0, 0.0)


class Portrait:
    """Renders frames of one speaker, ``size_px`` square. Equal arguments give equal bytes."""

    def __init__(self, look: Look, size_px: int) -> None:
        self.size_px = size_px
        canvas = Canvas.for_image(size_px, _SCALE, _MARGIN)
        self._canvas = canvas
        self._pad = (canvas.side_px - size_px * _SCALE) // 2
        self._paint_still(look, canvas)
        self._prepare_warps(look)
        rng = np.random.default_rng([look.seed, 11])
        self._grain = rng.normal(0.0, 1.3, (2 * size_px, 2 * size_px, 3)).astype(np.float32)

    def _paint_still(self, look: Look, canvas: Canvas) -> None:
        fine = canvas.finer(2)
        scene = paint_backdrop(look, fine)
        for behind in (paint_back(look, fine), paint_body(look, fine)):
            scene = mix(scene, *behind)
        head = paint_head(look, fine)
        front, front_alpha, cast = paint_front(look, fine)
        skin = head.colour * (1.0 - 0.55 * cast[..., None])
        beard, beard_alpha = paint_beard(look, fine)
        skin = mix(skin, beard * (0.3 + 0.7 * head.light), beard_alpha)
        brow, brow_alpha = paint_brows(look, fine)
        skin = mix(skin, brow * (0.25 + 0.75 * head.light), brow_alpha)
        colour, alpha = cover(skin, head.alpha, front, front_alpha)

        side = canvas.side_px

        def shrink(image: Field) -> Field:
            return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)

        layer = to_display(colour)[..., ::-1] * alpha[..., None]
        layer = np.dstack([layer, alpha]).astype(np.float32)
        self._head = np.clip(shrink(layer) * 255.0 + 0.5, 0, 255).astype(np.uint8)
        inner = slice(self._pad, self._pad + self.size_px * _SCALE)
        scene = shrink(to_display(scene)[..., ::-1])[inner, inner]
        self._scene = np.clip(scene * 255.0 + 0.5, 0, 255).astype(np.uint8)
        self._depth = shrink(head.depth)[inner, inner] * canvas.unit_px
        light = shrink(head.light * (1.0 - 0.55 * cast[..., None]))
        self._eyes = EyePainter(look, canvas, light)
        self._mouth = MouthPainter(look, canvas, light)
        self._glasses = None
        if look.has_glasses:
            rows, columns = canvas.window(-1.06, 1.06, -0.30, 0.40)
            frame, frame_alpha = paint_glasses(look, canvas)
            frame_alpha = frame_alpha[rows, columns, None]
            self._glasses = (rows, columns, frame[rows, columns] * frame_alpha * 255, 1 - frame_alpha)

    def _prepare_warps(self, look: Look) -> None:
        canvas = self._canvas
        u, v = canvas.grid()
        m = look.mouth_height
        self._low = canvas.window(-1.25, 1.25, m - 0.30, 9.0)
        rows, columns = self._low
        a, y = np.abs(u[:, columns]), v[rows] - m
        hinge = smoothstep(0.35, 1.02, a) * smoothstep(0.55, 0.05, y)
        drop = smoothstep(-0.06, 0.30, y) * (1.0 - hinge) * smoothstep(0.90, 0.70, a)
        self._drop = (drop * JAW_DROP * canvas.unit_px).astype(np.float32)
        pull = bump((a - 0.48) / 0.22, y / 0.26) * np.sign(u[:, columns])
        self._pull = (pull * 0.075 * canvas.unit_px).astype(np.float32)
        self._low_x, self._low_y = _pixel_grid(columns, rows)
        self._top = canvas.window(-0.95, 0.95, -0.62, -0.10)
        rows, columns = self._top
        lift = bump((np.abs(u[:, columns]) - 0.42) / 0.42, (v[rows] + 0.30) / 0.16)
        self._lift = (lift * 0.055 * canvas.unit_px).astype(np.float32)
        self._top_x, self._top_y = _pixel_grid(columns, rows)
        side = np.arange(self.size_px * _SCALE, dtype=np.float32) + 0.5
        self._screen = side[None, :], side[:, None]

    def render(self, mouth: MouthShape, pose: HeadPose, frame: int) -> NDArray[np.uint8]:
        """A frame: uint8 [size_px, size_px, 3] BGR. ``frame`` only selects the film grain."""
        head = self._head.copy()
        head[self._low] = _remap(
            self._head,
            self._low_x - self._pull * mouth.width,
            self._low_y - self._drop * mouth.jaw,
        )
        head[self._top] = _remap(self._head, self._top_x, self._top_y + self._lift * pose.brow)
        self._mouth.paint(head, mouth)
        self._eyes.paint(head, pose.shut, pose.gaze)
        if self._glasses is not None:
            rows, columns, frame_colour, clear = self._glasses
            patch = head[rows, columns, :3]
            patch[...] = (patch * clear + frame_colour + 0.5).astype(np.uint8)
        return self._compose(head, pose, frame)

    def _compose(self, head: NDArray[np.uint8], pose: HeadPose, frame: int) -> NDArray[np.uint8]:
        """Warp the head by its pose, blend it over the scene, downsample and add grain."""
        canvas = self._canvas
        x, y = self._screen
        pivot_x = canvas.origin_x - self._pad
        pivot_y = canvas.origin_y - self._pad + 0.9 * canvas.unit_px
        cos, sin = np.cos(pose.roll) / pose.zoom, np.sin(pose.roll) / pose.zoom
        dx = x - (pivot_x + pose.x * canvas.unit_px)
        dy = y - (pivot_y + pose.y * canvas.unit_px)
        offset = self._pad - 0.5
        map_x = (cos * dx + (pivot_x + offset)) + sin * dy - pose.yaw * self._depth
        map_y = (-sin * dx + (pivot_y + offset)) + cos * dy - pose.pitch * self._depth
        moved = _remap(head, map_x.astype(np.float32), map_y.astype(np.float32))
        clear = cv2.cvtColor(cv2.bitwise_not(moved[..., 3]), cv2.COLOR_GRAY2BGR)
        behind = cv2.multiply(self._scene, clear, scale=1.0 / 255.0)
        image = cv2.add(behind, cv2.cvtColor(moved, cv2.COLOR_BGRA2BGR))
        size = self.size_px
        small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
        r, c = (frame * 37) % size, (frame * 61) % size
        return np.clip(small + self._grain[r : r + size, c : c + size] + 0.5, 0, 255).astype(np.uint8)


def _pixel_grid(columns: slice, rows: slice) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    y, x = np.mgrid[rows, columns].astype(np.float32)
    return x, y


def _remap(image: NDArray[np.uint8], map_x: NDArray[np.float32], map_y: NDArray[np.float32]) -> NDArray[np.uint8]:
    return cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
