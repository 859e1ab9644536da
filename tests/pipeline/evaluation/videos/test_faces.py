"""Videos of another system: what is paired, where both are cut, and what is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.core.errors import DataError, UserError
from pipeline.evaluation.videos.faces import PairedFaces
from pipeline.evaluation.videos.pairing import pair_videos
from pipeline.media.errors import NoVideoError
from pipeline.media.file import MediaFile
from pipeline.params import PreprocessParams
from pipeline.preprocess.reasons import RejectedError
from tests.support.media_readers import read_samples
from tests.support.scored_videos import NUM_FRAMES, Frames, swaying_head, write_video

pytestmark = pytest.mark.slow

FindFaces = Callable[[Path, Path], PairedFaces]


@pytest.fixture
def find_faces(params: PreprocessParams) -> Iterator[FindFaces]:
    """``PairedFaces.find`` of the generated and the real video at two paths; the files are closed after the test."""
    with ExitStack() as files:

        def find(generated: Path, real: Path) -> PairedFaces:
            opened = [files.enter_context(MediaFile(path)) for path in (generated, real)]
            return PairedFaces.find(*opened, params)

        yield find


def test_real_videos_name_the_pairs_and_what_matches_none_is_told(tmp_path: Path) -> None:
    for name in ("real/a/1.mp4", "real/a/2.mpg", "made/a/1.mov"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "made" / "b.mp4").touch()
    pairs, unmatched = pair_videos(tmp_path / "made", tmp_path / "real")
    found = {pair.name: pair.generated for pair in pairs}
    assert found == {"a/1": tmp_path / "made" / "a" / "1.mov", "a/2": None}
    assert unmatched == ["b"]
    with pytest.raises(UserError, match=r"no video in .*made has the name of one in .*a: for example, a/1 and 1;"):
        pair_videos(tmp_path / "made", tmp_path / "real" / "a")
    (tmp_path / "made" / "b.avi").touch()
    with pytest.raises(UserError, match=r"two videos named b: b\.avi and b\.mp4"):
        pair_videos(tmp_path / "made", tmp_path / "real")
    with pytest.raises(UserError, match=r"--generated .*absent does not exist; --generated and --real need folders"):
        pair_videos(tmp_path / "absent", tmp_path / "real")


def test_videos_in_a_linked_folder_are_paired(tmp_path: Path) -> None:
    for name in ("made/s1/a.mp4", "elsewhere/a.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "s1").symlink_to(tmp_path / "elsewhere")
    pairs, unmatched = pair_videos(tmp_path / "made", tmp_path / "real")
    assert [pair.name for pair in pairs] == ["s1/a"] and not unmatched


def test_both_videos_are_cut_where_the_real_face_is(tmp_path: Path, find_faces: FindFaces) -> None:
    real = swaying_head()
    write_video(tmp_path / "real.mp4", real)
    write_video(tmp_path / "twice.mp4", [cv2.resize(frame, (320, 320)) for frame in real])
    write_video(tmp_path / "moved.mp4", [np.roll(frame, 20, axis=1) for frame in real])
    kept, shown = find_faces(tmp_path / "twice.mp4", tmp_path / "real.mp4").crops("square")
    assert kept.shape == shown.shape == (NUM_FRAMES, 96, 96, 3)
    assert np.abs(kept.astype(int) - shown).mean() < 4
    narrow, _ = find_faces(tmp_path / "twice.mp4", tmp_path / "real.mp4").crops("box")
    assert (narrow < 60).sum() > 1.2 * (kept < 60).sum()  # features of the face are wider in a box crop
    _, moved = find_faces(tmp_path / "moved.mp4", tmp_path / "real.mp4").crops("square")
    assert np.abs(kept.astype(int) - moved).mean() > 15  # no detector brings it back to its place


@pytest.mark.parametrize("aspect_of_made", [1, 2])
def test_pixels_that_are_not_square_are_made_square(tmp_path: Path, find_faces: FindFaces, aspect_of_made: int) -> None:
    frames = swaying_head()
    narrow = [cv2.resize(frame, (80, 160), interpolation=cv2.INTER_AREA) for frame in frames]
    write_video(tmp_path / "square.mp4", frames)
    write_video(tmp_path / "real.mp4", narrow, pixel_aspect=Fraction(2))
    made = narrow if aspect_of_made == 2 else frames
    write_video(tmp_path / "made.mp4", made, pixel_aspect=Fraction(aspect_of_made))
    expected, _ = find_faces(tmp_path / "square.mp4", tmp_path / "square.mp4").crops("square")
    for crops in find_faces(tmp_path / "made.mp4", tmp_path / "real.mp4").crops("square"):
        assert np.abs(crops.astype(int) - expected).mean() < 6


def test_the_generated_videos_own_sound_is_heard_from_the_first_crop_on(
    tmp_path: Path, params: PreprocessParams, find_faces: FindFaces
) -> None:
    empty = [np.full((160, 160, 3), 110, np.uint8)] * 16
    write_video(tmp_path / "real.mp4", [*empty, *swaying_head()], seed=1)
    write_video(tmp_path / "made.mp4", [*empty, *swaying_head()], seed=2)
    faces = find_faces(tmp_path / "made.mp4", tmp_path / "real.mp4")
    assert (faces.start, len(faces.faces)) == (16, NUM_FRAMES)
    heard = faces.speech(params).astype(float)
    for name, is_heard in (("made", True), ("real", False)):
        sound = read_samples(tmp_path / f"{name}.mp4")[16 * 640 :][: len(heard)]
        assert bool(np.corrcoef(heard[: len(sound)], sound)[0, 1] > 0.9) is is_heard


@pytest.mark.parametrize("order", [("made", "sound"), ("sound", "made")])
def test_a_file_of_sound_alone_is_named(tmp_path: Path, find_faces: FindFaces, order: tuple[str, str]) -> None:
    write_video(tmp_path / "made.mp4", swaying_head())
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.float32), format="fltp", layout="mono")
        frame.rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(NoVideoError):
        find_faces(*(tmp_path / f"{name}.mp4" for name in order))


def test_the_longest_stretch_counts_whichever_detector_finds_it(tmp_path: Path, params: PreprocessParams) -> None:
    """A small face that only a closer look finds, after a large one for a moment."""
    near = [cv2.resize(frame, (640, 640)) for frame in swaying_head(30)]
    far = []
    for frame in swaying_head(60):
        picture = np.full((640, 640, 3), 110, np.uint8)
        picture[280:380, 280:380] = cv2.resize(frame, (100, 100), interpolation=cv2.INTER_AREA)
        far.append(picture)
    write_video(tmp_path / "a.mp4", [*near, *far])
    settings = params.model_copy(update={"min_face_px": 0, "detector_max_px": 160})
    with MediaFile(tmp_path / "a.mp4") as video:
        found = PairedFaces.find(video, video, settings)
    assert (found.start, len(found.faces)) == (30, 60)


def test_a_generated_video_must_show_a_face_where_the_real_one_has_it(
    tmp_path: Path, params: PreprocessParams, find_faces: FindFaces
) -> None:
    real = swaying_head()
    write_video(tmp_path / "real.mp4", real)

    def shown(frames: Frames) -> NDArray[np.uint8]:
        write_video(tmp_path / "made.mp4", frames)
        return find_faces(tmp_path / "made.mp4", tmp_path / "real.mp4").context(params)

    blurred = [np.concatenate([frame[:90], cv2.GaussianBlur(frame[90:], (0, 0), 8)]) for frame in real]
    assert len(shown(blurred)) == NUM_FRAMES
    gone = [np.full_like(frame, 110) for frame in real]
    assert len(shown([*real[:24], *gone[24:]])) == NUM_FRAMES
    with pytest.raises(
        RejectedError,
        match=r"the generated video: no face at the position of the real one in \d+ of \d+ searched frames",
    ):
        shown([*real[:12], *gone[12:]])
    with pytest.raises(RejectedError, match="the generated video: no face"):
        shown([np.roll(frame, 70, axis=1) for frame in real])


def test_the_evaluator_gets_faces_of_its_own_size_from_the_video(
    tmp_path: Path, params: PreprocessParams, find_faces: FindFaces
) -> None:
    """Enlarging a crop of preprocessing's size would lose more than half of the fine structure."""
    texture = np.random.default_rng(0).integers(-25, 25, size=(480, 480, 1))
    large = [cv2.resize(frame, (480, 480)) + texture for frame in swaying_head()]
    write_video(tmp_path / "real.mp4", [np.clip(frame, 0, 255).astype(np.uint8) for frame in large])
    shown = find_faces(tmp_path / "real.mp4", tmp_path / "real.mp4").context(params)
    assert shown.shape == (NUM_FRAMES, 224, 224, 3)
    enlarged = cv2.resize(cv2.resize(shown[0], (160, 160), interpolation=cv2.INTER_AREA), (224, 224))
    assert cv2.Laplacian(shown[0], cv2.CV_64F).var() > 2 * cv2.Laplacian(enlarged, cv2.CV_64F).var()


@pytest.mark.parametrize(("num_made", "num_kept"), [(NUM_FRAMES - 4, NUM_FRAMES - 4), (NUM_FRAMES + 9, NUM_FRAMES)])
def test_a_generated_video_may_lack_a_tenth_at_its_end(
    tmp_path: Path, find_faces: FindFaces, num_made: int, num_kept: int
) -> None:
    write_video(tmp_path / "real.mp4", swaying_head())
    write_video(tmp_path / "made.mp4", swaying_head(num_made))
    pair = find_faces(tmp_path / "made.mp4", tmp_path / "real.mp4")
    kept, shown = pair.crops("square")
    assert len(kept) == len(shown) == num_kept
    cut = "the generated video lasts 1.96 s, the real one 1.60 s, so no frame after the first 40 (25 fps) is scored"
    assert pair.note == (cut if num_made > NUM_FRAMES else "")
    write_video(tmp_path / "made.mp4", swaying_head(NUM_FRAMES - 5))
    with pytest.raises(DataError, match="ends too early: it has 35 of the 40 frames"):
        find_faces(tmp_path / "made.mp4", tmp_path / "real.mp4").crops("square")


def test_sound_must_last_as_long_as_the_pictures_and_be_heard(
    tmp_path: Path, params: PreprocessParams, find_faces: FindFaces
) -> None:
    write_video(tmp_path / "real.mp4", swaying_head())
    write_video(tmp_path / "made.mp4", swaying_head())
    faces = find_faces(tmp_path / "made.mp4", tmp_path / "real.mp4")
    write_video(tmp_path / "short.mp4", swaying_head(30))
    with (
        MediaFile(tmp_path / "short.mp4") as short,
        pytest.raises(DataError, match=r"audio ends too early: it lasts 1\.\d\d of the 1\.60 s"),
    ):
        replace(faces, generated=short).speech(params)
    write_video(tmp_path / "silent.mp4", swaying_head(), loudness=0.0)
    with (
        MediaFile(tmp_path / "silent.mp4") as silent,
        pytest.raises(RejectedError, match="the generated video is silent"),
    ):
        replace(faces, generated=silent).speech(params)
