"""The requests of the web app, with a small untrained generator."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from pipeline.app.jobs import COMMENT, AppJobs, DubRequest, FaceListing
from pipeline.app.models import OfferedModel
from pipeline.app.preview import loudest_part
from pipeline.app.score_text import FaceSync
from pipeline.app.settings import AppLimits
from pipeline.core.errors import DataError, UserError
from pipeline.dubbing import DubbedFace, ListedFace
from pipeline.faces.detector import YuNetDetector
from tests.support.dub_runs import summary_of
from tests.support.media_readers import read_frames, read_samples
from tests.support.tiny_generator import make_checkout

LIMITS = AppLimits(max_seconds=5)
MODELS = {"lstm_cbam": OfferedModel("lstm_cbam", "lstm_cbam: 96 px")}
CORNER = np.s_[145:160, :60]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return make_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture
def jobs(checkout, work):
    before = torch.get_num_threads()
    yield AppJobs(checkout, work, LIMITS, MODELS, device="cpu")
    torch.set_num_threads(before)


@pytest.fixture
def request_(make_face, make_voice):
    return DubRequest(face=make_face(), voice=make_voice(), model="lstm_cbam", has_consent=True)


def _largest_change(first, second, part):
    return np.abs(first[part].astype(int) - second[part]).max()


@pytest.mark.slow
def test_faces_preview_and_result(jobs, make_face, make_voice):
    face, done = make_face(num_faces=2, num_frames=15), []
    listing = jobs.list_faces(face, done.append)
    assert [one.number for one in listing.faces] == [1, 2]
    assert listing.sheet is not None and listing.sheet.is_file()
    assert done[-1].num_done == 15
    wanted = DubRequest(face=face, voice=make_voice(0.6), model="lstm_cbam", has_consent=True, who="2")
    (preview,) = read_frames(jobs.preview(wanted, listing), None)
    assert preview.shape == (160 + 8 + 160, 320, 3)
    outcome = jobs.dub(wanted, done.append)
    summary = outcome.summary
    assert summary.path.is_relative_to(jobs.work.path) and summary.path.name == "face dubbed.mp4"
    assert [one.number for one in summary.faces] == [2]
    assert outcome.sync.startswith("**Sync score:** none, because the dubbed face is shown for 0.60 s")
    phases = [phase for phase, _ in itertools.groupby(one.phase for one in done)]
    assert phases[-4:] == ["loading the model", "detecting faces", "generating frames", "scoring the sync"]
    with av.open(str(summary.path)) as container:
        assert container.metadata["comment"] == COMMENT
    first, source = read_frames(summary.path, None)[0], read_frames(face, None)[0]
    assert _largest_change(preview[168:], preview[:160], CORNER) > 60
    assert _largest_change(preview[168:], first, CORNER) < 40  # the label is that of the result
    assert _largest_change(first, source, CORNER) > 60


def test_an_upload_is_searched_for_faces_once(jobs, request_, monkeypatch):
    searched, detect = [], YuNetDetector.detect
    monkeypatch.setattr(
        YuNetDetector, "detect", lambda self, frame: (searched.append(frame.shape), detect(self, frame))[1]
    )
    jobs.list_faces(request_.face, lambda progress: None)
    num_searched = len(searched)
    assert 0 < num_searched <= 10
    outcome = jobs.dub(replace(request_, who="1"), lambda progress: None)
    assert outcome.summary.num_dubbed == 10 and len(searched) == num_searched


def test_the_sound_of_a_video_becomes_a_voice(jobs, make_face):
    face = make_face(num_frames=20)
    voice = jobs.voice_of(face)
    assert voice.is_relative_to(jobs.work.path) and voice.name == "face.wav"
    jobs.check_voice(voice)
    np.testing.assert_allclose(read_samples(voice), read_samples(face), atol=1e-4)
    with pytest.raises(UserError, match=r"mute\.mp4 cannot be used as the voice: has no audio stream"):
        jobs.voice_of(make_face("mute.mp4", has_sound=False))


@pytest.mark.slow
def test_without_a_label_only_the_metadata_marks_the_result(checkout, work, request_):
    jobs = AppJobs(checkout, work, LIMITS, MODELS, label=None, device="cpu")
    path = jobs.dub(request_, lambda progress: None).summary.path
    first, source = read_frames(path, None)[0], read_frames(request_.face, None)[0]
    assert _largest_change(first, source, CORNER) < 20
    with av.open(str(path)) as container:
        assert container.metadata["comment"] == COMMENT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"face": None}, "there is no face yet"),
        ({"voice": None}, "there is no voice yet"),
        ({"has_consent": False}, "^confirm that the people"),
        ({"face": None, "voice": None, "has_consent": False}, "no face yet: .*; there is no voice yet: .*; confirm"),
        ({"model": "/etc"}, "there is no model '/etc'; choose one of lstm_cbam"),
        ({"voice": Path(__file__)}, r"test_jobs\.py cannot be used as the voice"),
        ({"face": Path(__file__)}, r"test_jobs\.py cannot be used as the face"),
    ],
)
def test_requests_that_are_refused(jobs, request_, change, message):
    refused = replace(request_, **change)
    with pytest.raises(UserError, match=message):
        jobs.dub(refused, lambda progress: None)
    with pytest.raises(UserError, match=message):
        jobs.preview(refused, FaceListing((), None))
    assert list(jobs.work.path.iterdir()) == []


def _listed(number, side, is_talking=None):
    return ListedFace(
        number=number, start_s=0, end_s=0.4, share_seen=1, box_px=(0, 0, side, side), is_talking=is_talking
    )


@pytest.mark.parametrize(("who", "chosen"), [("largest", 2), ("talking", 1), ("3", 3), ("3,1", 3)])
def test_the_face_of_a_preview(who, chosen, jobs, request_, monkeypatch):
    faces = (_listed(1, 40, True), _listed(2, 90, False), _listed(3, 30, False))
    seen = []
    monkeypatch.setattr(jobs, "_dubber", lambda model: None)
    monkeypatch.setattr(
        "pipeline.app.jobs.preview_frame", lambda dubber, face, listed, *rest, **options: seen.append(listed.number)
    )
    jobs.preview(replace(request_, who=who), FaceListing(faces, None))
    assert seen == [chosen]


def test_the_options_of_a_request_are_those_of_the_dub_and_of_the_preview(jobs, request_, monkeypatch):
    seen = []

    class Watched:
        def with_detectors(self, wrap):
            return self

        def __call__(self, *files, **options):
            seen.append(options)
            raise DataError("no more is needed")

    monkeypatch.setattr(jobs, "_dubber", lambda model: Watched())
    monkeypatch.setattr("pipeline.app.preview.list_faces", lambda *_, **__: [_listed(1, 90)])
    wanted = replace(request_, detail=0.5, in_silence="keep")
    for work in (
        lambda: jobs.dub(wanted, lambda progress: None),
        lambda: jobs.preview(wanted, FaceListing((_listed(1, 90),), None)),
    ):
        with pytest.raises(DataError, match="no more is needed"):
            work()
    assert [options["detail"] for options in seen] == [0.5, 0.5]
    assert seen[0]["in_silence"] == "keep" and seen[1]["label"] == jobs.label


@pytest.mark.parametrize(("who", "error"), [("9", UserError), ("largest", DataError)])
def test_a_preview_needs_the_chosen_face(who, error, jobs, request_):
    faces = (_listed(1, 40),) if who == "9" else ()
    with pytest.raises(error, match=r"no face 9|no face was found"):
        jobs.preview(replace(request_, who=who), FaceListing(faces, None))


def test_the_loudest_part_of_speech():
    samples = np.zeros(100, np.float32)
    samples[40:50] = 0.5
    assert loudest_part(samples, 10).tolist() == [0.5] * 10
    assert loudest_part(samples[40:45], 8).tolist() == [0.5] * 5 + [0] * 3


@pytest.mark.parametrize(("options", "end_s"), [({}, 0.4), ({"live": "1"}, 5.0)])
def test_the_faces_of_an_input_are_scored_also_if_it_states_no_length(options, end_s, jobs, tmp_path, monkeypatch):
    """A browser's recording states no length. The result is longer than the input."""
    face, scored = tmp_path / "recorded.webm", []
    with av.open(str(face), "w", options=options) as container:
        video, sound = container.add_stream("libvpx", rate=25), container.add_stream("libopus", rate=48_000)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for _ in range(10):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8))))
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 19_200), np.float32), format="fltp", layout="stereo")
        silence.sample_rate = 48_000
        for stream, frames in ((video, [None]), (sound, [silence, None])):
            for frame in frames:
                container.mux(stream.encode(frame))
    dubbed = DubbedFace(number=1, num_frames=125, start_s=0.0, end_s=5.0, box_px=(0, 0, 9, 9))
    summary = summary_of(tmp_path / "out.mp4", 125, dubbed)
    monkeypatch.setattr(jobs, "_score", lambda part: (scored.append(part), FaceSync(5.0, 0))[1])
    jobs._sync(face, summary)
    assert [[one.end_s for one in part.faces] for part in scored] == [[5.0], [pytest.approx(end_s, abs=0.05)]]
