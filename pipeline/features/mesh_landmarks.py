"""Numbers of the landmarks of MediaPipe's face mesh that both the network's input and the lip metrics use."""

from __future__ import annotations

OUTER_EYE_CORNERS = (33, 263)
"""Landmarks of the outer corners of the eyes, left first in the image of an upright face."""
