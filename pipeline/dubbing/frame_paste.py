"""Pastes generated mouths into the frames of a video, in the form that each frame is stored in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.dubbing.blend import blend_frames
from pipeline.dubbing.face_path import Followed
from pipeline.dubbing.paste import Refine, mouth_area, paste_mouth
from pipeline.dubbing.path_crops import FaceWindows
from pipeline.faces.crops import reduced_to_place
from pipeline.media.picture import StoredPicture, YuvPicture, part_of, with_part
from pipeline.media.yuv_matrix import CHROMA_LIMITS, LUMA_LIMITS


class FramePaster:
    """Pastes mouths at the faces of ``followed`` into frames of ``height`` x ``width``."""

    def __init__(self, followed: Followed, height: int, width: int) -> None:
        self._followed, self._windows = followed, FaceWindows(followed, height, width)

    def __call__(
        self,
        picture: StoredPicture,
        source: int,
        mouth: NDArray[np.uint8],
        tint: NDArray[np.float32],
        refine: Refine | None,
        share: float,
    ) -> StoredPicture:
        """A new picture of the source frame ``source``, with ``share`` of the mouth of ``mouth: uint8 [S, S, 3]``.

        ``tint`` and ``refine`` are those of `paste_mouth`.
        """
        roll = float(self._followed.rolls[source])
        if isinstance(picture, YuvPicture) and refine is None:
            return paste_into_planes(picture, mouth, self._followed.boxes[source], tint, roll, share)
        window = self._windows[source]
        part = part_of(picture, window)
        pasted = paste_mouth(part, mouth, self._windows.boxes[source], tint, roll, refine)
        return with_part(picture, window, part, blend_frames(part, pasted, share))


def paste_into_planes(
    picture: YuvPicture,
    generated: NDArray[np.uint8],
    box: NDArray[np.float64],
    tint: NDArray[np.float32],
    roll: float = 0.0,
    share: float = 1.0,
) -> YuvPicture:
    """Like `paste_mouth`, for the planes of a picture: only the generated mouth is converted."""
    changed = picture.copy()
    drawn = reduced_to_place(generated[None], box[None])[0]
    colours = picture.convert.of_pixels.yuv(np.clip(drawn + tint, 0, 255))
    for indices, shrink, limits in (((0,), 1, LUMA_LIMITS), ((1, 2), 2, CHROMA_LIMITS)):
        planes = [changed.plane(index) for index in indices]
        area = mouth_area(box / shrink, roll, *planes[0].shape)
        if area is None:
            continue
        patch = np.clip(area.sample(colours[..., indices[0] : indices[-1] + 1]), *limits)
        alpha = area.alpha[..., 0] * np.float32(share)
        for channel, plane in enumerate(planes):
            shown = plane[area.window]
            mixed = patch[..., channel] - shown
            mixed *= alpha
            mixed += shown  # where alpha is 0, the pixels of the picture
            plane[area.window] = np.rint(mixed, out=mixed)
    return changed
