"""Dubbing: renders a video's face with new speech, streaming in bounded memory.

Other programs use `Dubber`, which returns a `DubSummary`, and `list_faces`.
"""

from pipeline.dubbing.dubber import Dubber, list_faces
from pipeline.dubbing.phases import PhaseProgress
from pipeline.dubbing.segments import DubSegment
from pipeline.dubbing.summary import DubbedFace, DubSummary, ListedFace

__all__ = ["DubSegment", "DubSummary", "DubbedFace", "Dubber", "ListedFace", "PhaseProgress", "list_faces"]
