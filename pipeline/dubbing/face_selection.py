"""Selects the faces of a dub from those that were found in its video."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.errors import UserError
from pipeline.dubbing.face_path import FaceChoice, FoundFaces
from pipeline.dubbing.numbered_faces import (
    NumberedFace,
    OpenImages,
    Talking,
    choices_for,
    find_talking,
    has_rivals,
    number_faces,
)
from pipeline.dubbing.segment_voice import after_end
from pipeline.dubbing.segments import DubSegment
from pipeline.dubbing.who import HOW_TO_LIST, Who, parse_who, who_text
from pipeline.media.input_video import InputVideo


@dataclass(frozen=True)
class Selection:
    """All numbered faces of a video, and the choice of those to dub."""

    faces: Sequence[NumberedFace]
    choices: Sequence[FaceChoice]


def chooses_faces(who: Who, spans: Sequence[tuple[float, float, DubSegment]]) -> bool:
    """Whether any choice is another one than the largest face."""
    return who != "largest" or any(segment.who not in (None, "largest") for _, _, segment in spans)


def asked_for(who: Who, spans: Sequence[tuple[float, float, DubSegment]]) -> str:
    """The faces that a dub asks for, as the user writes them; each of those of segments once."""
    asked = [who if segment.who is None else parse_who(segment.who) for _, _, segment in spans] or [who]
    return "; ".join(dict.fromkeys(map(who_text, asked)))


def select_faces(
    found: FoundFaces,
    who: Who,
    spans: Sequence[tuple[int, int, DubSegment]],
    open_images: OpenImages,
    video: InputVideo,
) -> Selection:
    """Number the faces and choose those of each span, or of the whole video if there are no spans.

    ``spans``: first frame and end of each segment. ``open_images()`` returns the frames that the faces were found in.
    ``video`` gets a note on frames with several of the chosen faces, since only one face of a frame is dubbed. Raises
    UserError for an unknown number, a span after the end of the video, and if the talking face of several is asked for
    and cannot be determined.
    """
    faces = number_faces(found)
    talking = functools.cache(lambda: _talking_faces(found, faces, open_images, video))
    if not spans:
        choices = choices_for(who, found, faces, talking, 0, found.num_frames)
        _note_shared_frames(found, faces, who, 0, found.num_frames, video)
        return Selection(faces, choices)
    choices = []
    for start, stop, segment in spans:
        if start >= found.num_frames:
            raise after_end(segment, video)
        one = who if segment.who is None else parse_who(segment.who)
        choices += choices_for(one, found, faces, talking, start, min(stop, found.num_frames))
        _note_shared_frames(found, faces, one, start, stop, video)
    return Selection(faces, choices)


def _note_shared_frames(
    found: FoundFaces, faces: Sequence[NumberedFace], who: Who, start: int, stop: int, video: InputVideo
) -> None:
    """Note on ``video`` how many of the frames ``start`` to ``stop`` show several faces that are chosen by number."""
    if isinstance(who, str):
        return
    num_faces = np.zeros(found.num_frames, int)
    for face in faces:
        if face.number in who:
            for path in (found.paths[index] for index in face.paths):
                num_faces[path.start : path.stop] += 1
    if num_shared := int((num_faces[start:stop] > 1).sum()):
        video.note(
            f"{num_shared} frames of the video show several of the faces {who_text(who)}; in each of them only the "
            "face that is named first is dubbed; dub the output again for the other faces"
        )


def _talking_faces(
    found: FoundFaces, faces: Sequence[NumberedFace], open_images: OpenImages, video: InputVideo
) -> Talking:
    """The talking faces, by the sound of the video, with a note for each shot in which nobody clearly talks.

    Sound is needed only if a shot has several faces. Raises UserError if the video then has none, MediaError if its
    sound is unusable.
    """
    if not has_rivals(found, faces):
        return find_talking(found, faces, open_images, np.zeros(0, np.float32))
    if not video.header.has_audio:
        raise UserError(
            f"who is talking, but {video.path} shows several faces and has no sound; choose one by its number: "
            f"{HOW_TO_LIST}"
        )
    talking = find_talking(found, faces, open_images, video.samples(is_noted=False))
    for start, stop in talking.unclear:
        span = f"{found.time_of(start):.2f} s to {found.time_of(stop):.2f} s"
        video.note(f"from {span} none of several faces clearly talks; they are left unchanged")
    return talking
