"""Selects the faces of a dub from those that were found in its video."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.errors import UserError
from pipeline.dubbing.choose import NumberedFace, OpenImages, Talking, choices_for, find_talking, number_faces
from pipeline.dubbing.face_path import FaceChoice, FoundFaces
from pipeline.dubbing.segments import DubSegment
from pipeline.dubbing.who import Who, parse_who
from pipeline.media.file import MediaFile


@dataclass(frozen=True)
class Selection:
    """All numbered faces of a video, and the choice of those to dub."""

    faces: Sequence[NumberedFace]
    choices: Sequence[FaceChoice]


def chooses_faces(who: Who, spans: Sequence[tuple[float, float, DubSegment]]) -> bool:
    """Whether any choice is another one than the largest face."""
    return who != "largest" or any(segment.who not in (None, "largest") for _, _, segment in spans)


def select_faces(
    found: FoundFaces,
    who: Who,
    spans: Sequence[tuple[int, int, DubSegment]],
    open_images: OpenImages,
    video: MediaFile,
) -> Selection:
    """Number the faces and choose those of each span, or of the whole video if there are no spans.

    ``spans``: first frame and end of each segment. ``open_images()`` returns the frames that the faces were found in.
    Raises UserError for an unknown number, a span after the end of the video, and if the talking face is asked for and
    cannot be determined.
    """
    faces = number_faces(found)
    talking = functools.cache(lambda: talking_faces(found, faces, open_images, video))
    if not spans:
        return Selection(faces, choices_for(who, found, faces, talking, 0, found.num_frames))
    choices: list[FaceChoice] = []
    for start, stop, segment in spans:
        if start >= found.num_frames:
            raise UserError(f"a segment starts at {segment.start_s:g} s, after the end of {video.path}")
        one = who if segment.who is None else parse_who(segment.who)
        choices += choices_for(one, found, faces, talking, start, min(stop, found.num_frames))
    return Selection(faces, choices)


def talking_faces(
    found: FoundFaces, faces: Sequence[NumberedFace], open_images: OpenImages, video: MediaFile
) -> Talking:
    """The talking faces, by the sound of the video. Raises UserError if it has no sound."""
    if not video.header.has_audio:
        raise UserError(f"who is talking, but {video.path} has no sound; choose a face by its number (--list-faces)")
    talking = find_talking(found, faces, open_images, video.samples())
    for start, stop in talking.unclear:
        span = f"{start / found.fps:.2f} s to {stop / found.fps:.2f} s"
        video.note(f"from {span} none of several faces clearly talks; they are left unchanged")
    return talking
