"""The sync score of one face of a video, on a rendered speaker."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.core.layout import Layout
from pipeline.corpora.demo.render import DemoSpec, render_video
from pipeline.dubbing import list_faces
from pipeline.dubbing.sync_score import SyncJudge
from pipeline.media.file import MediaFile
from pipeline.media.writer import VideoWriter

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def judge(repo_root):
    return SyncJudge.load(Layout(repo_root))


@pytest.fixture(scope="module")
def speaker(tmp_path_factory, repo_root):
    """A rendered speaker of 2 s, its frames, its sound, and the box of its face."""
    path = tmp_path_factory.mktemp("speaker") / "speaker.mp4"
    render_video(path, DemoSpec(1, 1, clip_seconds=2.0), 0, 0, 1.1, crf=16)
    with MediaFile(path) as media:
        frames, samples = [timed.image for timed in media.frames(25)], media.samples()
    return path, frames, samples, list_faces(path, root=repo_root)[0].box_px


def _write(path, frames, samples):
    with VideoWriter(path, 25, (frames[0].shape[1], frames[0].shape[0]), samples, preset="ultrafast") as writer:
        for frame in frames:
            writer.write(frame)
    return path


def test_a_rendered_speaker_is_in_sync_and_moved_sound_is_found(judge, speaker, tmp_path):
    path, frames, samples, box_px = speaker
    own = judge.score(path, box_px)
    assert abs(own.offset_frames) <= 1 and not own.is_at_limit
    assert own.num_frames > 40
    late = np.concatenate([np.zeros(4 * 640, np.float32), samples])[: len(samples)]
    moved = judge.score(_write(tmp_path / "late.mp4", frames, late), box_px)
    assert moved.offset_frames == own.offset_frames - 4


def test_of_two_faces_the_named_one_is_scored(judge, speaker, tmp_path):
    _, frames, samples, box_px = speaker
    still = [np.concatenate([frame, frames[0]], axis=1) for frame in frames]
    pair = _write(tmp_path / "pair.mp4", still, samples)
    width = frames[0].shape[1]
    talking = judge.score(pair, box_px)
    resting = judge.score(pair, (box_px[0] + width, box_px[1], box_px[2] + width, box_px[3]))
    assert talking.lse_c > resting.lse_c


@pytest.mark.parametrize(
    ("loudness", "box_px", "message"),
    [(0, None, "it is silent where the face is seen"), (1, (0, 0, 4, 4), "not detected where it was dubbed")],
)
def test_what_cannot_be_scored(judge, speaker, tmp_path, loudness, box_px, message):
    _, frames, samples, own_box = speaker
    video = _write(tmp_path / "clip.mp4", frames[:20], samples[: 20 * 640] * loudness)
    with pytest.raises(DataError, match=message):
        judge.score(video, box_px or own_box)
