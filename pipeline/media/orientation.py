"""Turns decoded pictures upright, as the display matrix of the video or the EXIF data of the picture asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from numpy.typing import NDArray

from pipeline.media.filter_graph import graph_for

_EXIF = 31  # AV_FRAME_DATA_EXIF, which PyAV has no name for


@dataclass(frozen=True)
class Orientation:
    """How a stored picture becomes upright: swap rows and columns first, then mirror. Covers EXIF values 1 to 8."""

    is_transposed: bool = False
    is_mirrored: bool = False
    """Left and right are swapped."""
    is_flipped: bool = False
    """Top and bottom are swapped."""

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The upright picture: uint8 [H, W, C], or [W, H, C] if transposed; contiguous."""
        upright = image.swapaxes(0, 1) if self.is_transposed else image
        steps = (-1 if self.is_flipped else 1, -1 if self.is_mirrored else 1)
        return np.ascontiguousarray(upright[:: steps[0], :: steps[1]])


def orientation_of(frame: Any) -> Orientation:
    """Orientation of a decoded frame; a rotation between two right angles counts as the nearest one."""
    matrix = _display_matrix(frame)
    if matrix is None:
        return Orientation()
    (a, b), (c, d) = matrix[:2, :2]  # x' = a x + c y, y' = b x + d y
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(is_mirrored=bool(a < 0), is_flipped=bool(d < 0))
    return Orientation(is_transposed=True, is_mirrored=bool(c < 0), is_flipped=bool(b < 0))


def _display_matrix(frame: Any) -> NDArray[np.float64] | None:
    """float64 [3, 3] of the frame's side data, None if it has none."""
    try:
        data = _side_data(frame).get(Type.DISPLAYMATRIX)
    except ValueError:  # PyAV refuses a frame with side data of a kind it has no name for
        data = _side_data(_without_exif(frame)).get(Type.DISPLAYMATRIX)
    return None if data is None else np.frombuffer(bytes(data), np.int32).reshape(3, 3).astype(np.float64)


def _side_data(frame: Any) -> SideDataContainer:
    """As ``frame.side_data``, which makes a reference cycle: the pixels would stay until Python collects garbage."""
    return SideDataContainer(frame)  # type: ignore[call-arg]  # the stub of PyAV lacks the argument


def _without_exif(frame: Any) -> Any:
    """The frame without its EXIF data. FFmpeg has copied the orientation in it to the display matrix."""
    graph = graph_for(frame, "sidedata", f"mode=delete:type={_EXIF}")
    graph.push(frame)
    return graph.pull()
