"""Numbers of faces, the choice by number, and the talking face, with scripted detections."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.dubbing.face_path import FollowSettings, find_faces
from pipeline.dubbing.numbered_faces import CHANCE_CORRELATION, choices_for, find_talking, number_faces
from pipeline.dubbing.who import parse_who, who_text
from pipeline.faces.active_speaker import loudness_by_frame, sound_correlation
from tests.support.dub_scenes import ScriptedDetector

SETTINGS = FollowSettings(max_gap_frames=3, smooth_frames=7, cut_change=4.0)
LEFT, RIGHT, SMALL = [10.0, 10, 50, 60], [70.0, 10, 120, 72], [75.0, 20, 95, 45]
RATE_HZ = 16_000


def found_in(script, num_frames, frames=None, fps=25.0):
    frames = frames if frames is not None else [np.full((96, 128, 3), 100, np.uint8)] * num_frames
    return find_faces(lambda: frames, [ScriptedDetector(script)], fps, SETTINGS)


def followed(found, who, start=0, stop=None):
    faces = number_faces(found)
    choices = choices_for(parse_who(who), found, faces, lambda: None, start, stop or found.num_frames)
    return found.follow(choices, SETTINGS, "square")


def test_faces_are_numbered_by_their_first_frame_then_from_left_to_right():
    late = [60.0, 60, 90, 92]
    script = {k: [RIGHT, LEFT, *([late] if k >= 10 else [])] for k in range(30)}
    faces = number_faces(found_in(script, 30))
    assert [(face.number, face.start, face.box_px) for face in faces] == [
        (1, 0, (10, 10, 50, 60)),
        (2, 0, (70, 10, 120, 72)),
        (3, 10, (60, 60, 90, 92)),
    ]


def test_a_face_that_comes_back_at_its_place_keeps_its_number_and_a_brief_one_has_none():
    brief = [60.0, 60, 90, 92]
    script = {k: [LEFT, *([brief] if k in (3, 4, 5) else [])] for k in range(40) if not 15 <= k < 30}
    found = found_in(script, 40)
    faces = number_faces(found)
    assert [(face.number, face.start, face.stop, face.num_seen) for face in faces] == [(1, 0, 40, 25)]
    is_missing = np.isnan(followed(found, 1).boxes[:, 0])
    assert np.flatnonzero(is_missing).tolist() == list(range(15, 30))


def test_a_face_gets_another_number_after_a_cut():
    frames = [np.full((96, 128, 3), 60 if k < 12 else 160, np.uint8) for k in range(24)]
    found = found_in({k: [LEFT] for k in range(24)}, 24, frames)
    faces = number_faces(found)
    assert [(face.number, face.start, face.stop) for face in faces] == [(1, 0, 12), (2, 12, 24)]
    assert np.isnan(followed(found, "2").boxes[:, 0]).tolist() == [True] * 12 + [False] * 12
    assert not np.isnan(followed(found, "1,2").boxes).any()
    assert not np.isnan(followed(found, "largest").boxes).any()


def test_only_the_chosen_face_is_followed_and_in_the_frames_of_the_choice():
    found = found_in({k: [LEFT, RIGHT] for k in range(20)}, 20)
    left, right = (followed(found, who).boxes for who in (1, 2))
    np.testing.assert_allclose(left[:, [0, 2]].mean(axis=1), 30)
    np.testing.assert_allclose(right[:, [0, 2]].mean(axis=1), 95)
    np.testing.assert_allclose(followed(found, "largest").boxes, right)
    part = followed(found, 1, 5, 10)
    assert np.flatnonzero(np.isfinite(part.boxes[:, 0])).tolist() == list(range(5, 10))
    assert part.paths[5] != followed(found, 2).paths[5]


def test_a_shot_starts_where_another_face_is_chosen():
    found = found_in({k: [LEFT, RIGHT] for k in range(20)}, 20)
    faces = number_faces(found)
    ((first,), (second,), (again,)) = (
        choices_for((number,), found, faces, lambda: None, start, start + 5)
        for number, start in ((1, 0), (2, 5), (2, 10))
    )
    assert found.follow([first, second, again], SETTINGS, "square").shot_starts == [5, 15]
    assert followed(found, 1).shot_starts == []


def test_a_shot_starts_where_the_largest_face_leaves_and_another_one_follows():
    script = {k: [LEFT, RIGHT] if k < 18 else [LEFT] for k in range(24)}
    assert followed(found_in(script, 24), "largest").shot_starts == [18]


@pytest.mark.parametrize(
    ("boxes", "known"), [([LEFT, RIGHT], "has the faces 1 to 2"), ([LEFT], "has only face 1")], ids=["two", "one"]
)
def test_a_number_that_no_face_has(boxes, known):
    found = found_in(dict.fromkeys(range(20), boxes), 20)
    message = rf"who is 3, but the video {known}; dub --list-faces or list_faces\(\) shows them"
    with pytest.raises(UserError, match=message):
        followed(found, 3)


@pytest.mark.parametrize("text", ["0", "-1", "biggest", "", "1,", "1;2", "1.5", [], [1, 0]])
def test_who_is_not_understood(text):
    with pytest.raises(UserError, match="allowed: largest, talking, or numbers of faces from 1"):
        parse_who(text)


def test_who_is_parsed():
    assert [parse_who(one) for one in ("largest", "talking", 2, "2", "1,3", (4, 5), [1, 2], np.array([3]))] == [
        "largest",
        "talking",
        (2,),
        (2,),
        (1, 3),
        (4, 5),
        (1, 2),
        (3,),
    ]
    assert [who_text(parse_who(one)) for one in ("talking", "1, 3")] == ["talking", "1,3"]


def talking_scene(num, fps, talks):
    """Frames with two mouths; that of the face ``talks`` opens with the sound. Returns frames and samples."""
    rng = np.random.default_rng(0)
    is_loud = np.sin(np.arange(num) / fps * 7) + 0.3 * np.sin(np.arange(num) / fps * 17) > 0
    frames = []
    for k in range(num):
        frame = np.full((96, 128, 3), 100, np.uint8)
        if talks is not None and is_loud[k]:
            box = (LEFT, SMALL)[talks - 1]
            x, y = round((box[0] + box[2]) / 2), round(box[1] + 0.8 * (box[3] - box[1]))
            half = rng.integers(1, 5)
            frame[y - half : y + half, x - 4 : x + 4] = 30
        frames.append(frame)
    loud = np.repeat(is_loud, round(RATE_HZ / fps))
    return frames, (0.2 * loud * np.sin(np.arange(len(loud)) / 5)).astype(np.float32)


@pytest.mark.parametrize("fps", [25.0, 50.0, 12.5])
@pytest.mark.parametrize("talks", [1, 2])
def test_the_talking_face_is_the_one_whose_mouth_moves_with_the_sound(talks, fps):
    num = round(4 * fps)
    frames, samples = talking_scene(num, fps, talks)
    found = found_in({k: [LEFT, SMALL] for k in range(num)}, num, frames, fps)
    talking = find_talking(found, number_faces(found), lambda: frames, samples)
    assert (talking.numbers, talking.unclear) == ([talks], [])


def test_the_talking_face_is_found_by_the_times_of_the_frames():
    """The first two seconds have every fourth frame only, so a frame's number does not give its time."""
    frames, samples = talking_scene(100, 25.0, 2)
    kept = [*range(0, 50, 4), *range(50, 100)]
    frames = [frames[k] for k in kept]
    found = found_in({k: [LEFT, SMALL] for k in range(len(kept))}, len(kept), frames)
    found = replace(found, times_s=np.append(kept, 100) / 25)
    talking = find_talking(found, number_faces(found), lambda: frames, samples)
    assert (talking.numbers, talking.unclear) == ([2], [])
    assert found.time_of(len(kept)) == 4.0


def test_nobody_talks():
    frames, _ = talking_scene(100, 25.0, None)
    _, samples = talking_scene(100, 25.0, 1)
    found = found_in({k: [LEFT, SMALL] for k in range(100)}, 100, frames)
    faces = number_faces(found)
    talking = find_talking(found, faces, lambda: frames, samples)
    assert (talking.numbers, talking.unclear) == ([], [(0, 100)])
    with pytest.raises(UserError, match="no face clearly talks; choose one by its number"):
        choices_for("talking", found, faces, lambda: talking, 0, 100)


@pytest.mark.parametrize(
    ("weight", "louder", "numbers"),
    [
        (0.9, 1.4, [1]),  # the sound moves both mouths, the first one more
        (0.2, 1.4, []),  # both move alike with the sound by chance
        (0.2, 3.0, [1]),
    ],
)
def test_a_correlation_that_may_be_chance_does_not_decide_between_moving_mouths(weight, louder, numbers, monkeypatch):
    frames, samples = talking_scene(100, 25.0, 1)
    found = found_in({k: [LEFT, SMALL] for k in range(100)}, 100, frames)
    loudness = loudness_by_frame(samples, 100)
    own = np.cos(np.arange(100) / 7)
    motion = 5 + weight * (loudness - loudness.mean()) / loudness.std() + (1 - weight) * own
    assert (sound_correlation(motion, loudness) > CHANCE_CORRELATION) == (weight == 0.9)
    monkeypatch.setattr("pipeline.dubbing.numbered_faces.mouth_motions", lambda *_: np.array([louder * motion, motion]))
    assert find_talking(found, number_faces(found), lambda: frames, samples).numbers == numbers


def test_each_shot_has_its_own_talking_face():
    first, samples = talking_scene(75, 25.0, 2)
    second, _ = talking_scene(75, 25.0, 1)
    frames = [*first, *(frame + np.uint8(60) for frame in second)]
    found = found_in({k: [LEFT, SMALL] for k in range(150)}, 150, frames)
    talking = find_talking(found, number_faces(found), lambda: frames, np.tile(samples, 2))
    assert (list(found.cuts), talking.numbers) == ([75], [2, 3])
