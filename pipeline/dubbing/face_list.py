"""Lists the faces of a video with their numbers, and draws them on a contact sheet."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.dubbing.dub import DetectorsFor
from pipeline.dubbing.face_path import FollowSettings, FoundFaces, find_faces, finer
from pipeline.dubbing.face_sheet import draw_faces, require_sheet
from pipeline.dubbing.file_arguments import naming_options
from pipeline.dubbing.numbered_faces import NumberedFace, OpenImages, find_talking, number_faces
from pipeline.dubbing.phases import OnProgress, in_phase
from pipeline.dubbing.playback import Frame
from pipeline.dubbing.summary import ListedFace
from pipeline.dubbing.timing import SourceTiming
from pipeline.faces.crops import Cropper
from pipeline.faces.turns import turns_of
from pipeline.media.errors import MediaError
from pipeline.media.input_video import InputVideo
from pipeline.media.picture import StoredPicture
from pipeline.media.picture_folder import open_pictures

logger = logging.getLogger(__name__)

_PICTURE_PX = 200
_CONTEXT = 0.35
"""Share of the face's size that a picture shows on each side."""


def find_listed_faces(
    path: Path,
    detectors_for: DetectorsFor,
    follow: FollowSettings,
    sheet: Path | None,
    fps: float | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[ListedFace, ...]:
    """The faces of the video ``path``. ``sheet``: PNG file for their pictures; it is not written if there are none.

    Raises MediaError for an unusable video, UserError for a sheet that cannot be written or would replace an input.
    """
    if sheet is not None:
        require_sheet(sheet, path)
    with naming_options([("--face", path)]), open_pictures(path, fps) as video:
        display, source = video.display, SourceTiming(video.fps, None)

        def open_frames() -> Iterator[Frame]:
            return (timed.image for timed in video.frames())

        def watched_frames() -> Iterator[StoredPicture]:
            frames = source.read(video.stored_frames())
            return in_phase(frames, "detecting faces", video.header.num_frames or None, on_progress)

        detectors = finer(detectors_for(max(display.width, display.height)))
        found = replace(find_faces(watched_frames, detectors, float(video.fps), follow), times_s=source.times_s)
        faces = number_faces(found)
        talking = _talking_numbers(found, faces, open_frames, video)
        listed = tuple(_listed(found, face, None if talking is None else face.number in talking) for face in faces)
        if sheet is not None and listed:
            draw_faces(listed, _pictures(video, found, faces), sheet)
    return listed


def _talking_numbers(
    found: FoundFaces, faces: Sequence[NumberedFace], open_frames: OpenImages, video: InputVideo
) -> set[int] | None:
    """Numbers of the talking faces; None, with a warning in the log, if the sound of the video is unusable."""
    if not video.header.has_audio:
        return None
    try:
        samples = video.samples(is_noted=False)
    except MediaError as error:
        logger.warning("which face talks is not determined: %s", error)
        return None
    return set(find_talking(found, faces, open_frames, samples).numbers)


def _listed(found: FoundFaces, face: NumberedFace, is_talking: bool | None) -> ListedFace:
    return ListedFace(
        number=face.number,
        start_s=found.time_of(face.start),
        end_s=found.time_of(face.stop),
        share_seen=face.num_seen / (face.stop - face.start),
        box_px=face.box_px,
        is_talking=is_talking,
    )


def _pictures(video: InputVideo, found: FoundFaces, faces: Sequence[NumberedFace]) -> list[Frame]:
    """A picture of each face from the middle of its appearance, upright: uint8 [200, 200, 3] BGR."""
    wanted: dict[int, list[tuple[int, NDArray[np.float64], int]]] = {}
    for place, face in enumerate(faces):
        path = found.paths[max(face.paths, key=lambda index: found.paths[index].num_seen)]
        seen = np.flatnonzero(np.isfinite(path.boxes[:, 0]))
        row = int(seen[len(seen) // 2])
        turns = int(turns_of(path.landmarks[row]))
        wanted.setdefault(path.start + row, []).append((place, path.boxes[row], turns))
    pictures: dict[int, Frame] = {}
    for index, timed in enumerate(video.frames()):
        for place, box, turns in wanted.pop(index, ()):
            crop = Cropper(_with_context(box)[None], _PICTURE_PX)(timed.image, 0)
            pictures[place] = np.ascontiguousarray(np.rot90(crop, turns))
        if not wanted:
            break
    return [pictures[place] for place in range(len(faces))]


def _with_context(box: NDArray[np.float64]) -> NDArray[np.float64]:
    centre = (box[:2] + box[2:]) / 2
    half = (box[2:] - box[:2]).max() * (0.5 + _CONTEXT)
    return np.concatenate([centre - half, centre + half])
