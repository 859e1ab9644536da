"""One dubbed frame of a video, computed from a short part of it, as a preview of the whole."""

from __future__ import annotations

import itertools
import wave
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from pipeline.core.errors import DataError
from pipeline.dubbing import Dubber, ListedFace, list_faces
from pipeline.dubbing.options import DubOptions
from pipeline.dubbing.playback import Frame
from pipeline.faces.detector import box_iou
from pipeline.features.alignment import SAMPLE_RATE_HZ
from pipeline.features.samples import float_to_int16
from pipeline.media.file import MediaFile
from pipeline.media.writer import VideoWriter

PART_S = 0.6
"""Length of the dubbed part, s. The frame in its middle is shown."""
_GAP_PX = 8


def preview_frame(
    dubber: Dubber, face: Path, listed: ListedFace, voice: Path, folder: Path, options: DubOptions, *, root: Path
) -> Path:
    """Write a PNG with a frame of ``face`` and, below or beside it, the same frame dubbed. Returns its path.

    The part is the middle of the face's appearance, the speech the loudest part of ``voice``. The files of the work lie
    in ``folder``. ``options`` change the picture, such as ``label``. ``root`` is the checkout. Raises the errors of
    `Dubber`, and DataError if the short part does not show the face.
    """
    part, speech, dubbed = folder / "part.mp4", folder / "speech.wav", folder / "dubbed.mp4"
    _write_part(face, (listed.start_s + listed.end_s - PART_S) / 2, part)
    _write_speech(voice, speech)
    number = _number_in(part, listed, root)
    fixed: DubOptions = {"who": number, "length": "video", "on_missing": "keep"}
    dubber(part, speech, dubbed, **(options | fixed))
    before, after = _middle(part), _middle(dubbed)
    both = _beside(before, after[: before.shape[0], : before.shape[1]])
    path = folder / "preview.png"
    PIL.Image.fromarray(np.ascontiguousarray(both[..., ::-1])).save(path)
    return path


def _write_part(face: Path, start_s: float, path: Path) -> None:
    with MediaFile(face) as video:
        fps, display = video.fps, video.display
        first, num = max(0, round(start_s * fps)), max(1, round(PART_S * fps))
        images = (timed.image for timed in video.frames(fps))
        with VideoWriter(path, fps, (display.width, display.height), crf=8, preset="ultrafast") as writer:
            for image in itertools.islice(images, first, first + num):
                writer.write(image)


def _write_speech(voice: Path, path: Path) -> None:
    with MediaFile(voice) as media:
        samples = loudest_part(media.samples(), round(PART_S * SAMPLE_RATE_HZ))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(float_to_int16(samples).tobytes())


def loudest_part(samples: NDArray[np.float32], num: int) -> NDArray[np.float32]:
    """The ``num`` consecutive samples with the most energy, float32 [num]; shorter sound is padded with silence."""
    if len(samples) <= num:
        return np.pad(samples, (0, num - len(samples)))
    energy = np.cumsum(np.concatenate([[0.0], np.square(samples, dtype=np.float64)]))
    sums = energy[num:] - energy[:-num]
    start = int(np.flatnonzero(sums == sums.max())[0])
    return samples[start : start + num]


def _number_in(part: Path, listed: ListedFace, root: Path) -> int:
    """The number of the face in the short part."""
    wanted = np.array(listed.box_px, np.float64)
    faces = {face.number: box_iou(np.array(face.box_px, np.float64), wanted) for face in list_faces(part, root=root)}
    if not faces or max(faces.values()) <= 0:
        raise DataError("the face is not seen in the middle of its appearance, so there is no preview; dub the video")
    return max(faces, key=lambda number: faces[number])


def _beside(before: Frame, after: Frame) -> Frame:
    """Both frames in one picture: a wide one above the other, a high one beside it."""
    height, width = before.shape[:2]
    axis = 0 if width > height else 1
    gap = np.full((_GAP_PX, width, 3) if axis == 0 else (height, _GAP_PX, 3), 255, np.uint8)
    return np.concatenate([before, gap, after], axis=axis)


def _middle(path: Path) -> Frame:
    with MediaFile(path) as video:
        images = [timed.image for timed in video.frames(video.fps)]
    return images[len(images) // 2]
