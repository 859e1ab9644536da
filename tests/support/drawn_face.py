"""A drawn face that the real detector detects, and a sine tone."""

from __future__ import annotations

import cv2
import numpy as np

FPS = 25
RATE_HZ = 16_000


def draw_face(x: float, y: float, half: float = 44, size: int = 160) -> np.ndarray:
    """A cartoon head around x, y, ``uint8 [size, size, 3]`` BGR, with a dark open mouth."""
    image = np.full((size, size, 3), (120, 110, 100), np.uint8)

    def disc(dx: float, dy: float, wide: float, high: float, colour: tuple[int, int, int]) -> None:
        centre = (round((x + dx * half) * 16), round((y + dy * half) * 16))
        axes = (round(wide * half * 16), round(high * half * 16))
        cv2.ellipse(image, centre, axes, 0, 0, 360, colour, -1, cv2.LINE_AA, 4)

    disc(0, -0.15, 0.82, 1.12, (40, 50, 70))
    disc(0, 0, 0.72, 1, (150, 175, 215))
    disc(0, -0.02, 0.6, 0.8, (160, 186, 226))
    for side in (-0.3, 0.3):
        disc(side, -0.34, 0.17, 0.04, (50, 60, 80))
        disc(side, -0.18, 0.13, 0.065, (245, 245, 245))
        disc(side, -0.18, 0.06, 0.06, (50, 60, 70))
    disc(0, 0.1, 0.05, 0.2, (140, 165, 210))
    disc(0, 0.22, 0.13, 0.06, (120, 145, 190))
    disc(0, 0.52, 0.27, 0.12, (90, 90, 190))
    disc(0, 0.52, 0.2, 0.08, (20, 10, 30))
    return cv2.GaussianBlur(image, (0, 0), 1)


def tone(seconds: float, loudness: float = 0.2) -> np.ndarray:
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (loudness * np.sin(2 * np.pi * 220 * time)).astype(np.float32)
