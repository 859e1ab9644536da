"""Which frames of an output have a generated mouth, and when they are shown."""

from __future__ import annotations

import numpy as np

from pipeline.dubbing.drawn import DrawnFrames
from pipeline.dubbing.face_path import Followed
from pipeline.dubbing.numbered_faces import NumberedFace


def test_a_face_is_dubbed_until_the_end_of_its_last_frame_at_any_frame_rate() -> None:
    """The last frame of the first face is shown for 0.5 s, that of the second for 0.1 s."""
    times_s = np.array([0.0, 0.04, 0.08, 0.58, 0.62, 0.72])
    followed = Followed(np.ones((5, 4)), np.zeros(5), (), np.array([0, 0, 0, 1, 1]))
    drawn = DrawnFrames(followed, np.arange(5), np.ones(5, np.float32), times_s)
    faces = [NumberedFace(number, [number - 1], 0, 5, 5, (0, 0, 9, 9)) for number in (1, 2)]
    dubbed = drawn.faces(faces, has_numbers=True)
    assert [(face.number, face.num_frames, face.start_s, face.end_s) for face in dubbed] == [
        (1, 3, 0.0, 0.58),
        (2, 2, 0.58, 0.72),
    ]
