"""The rows of docs/media.md on made films: what data preparation, dub and score do with each."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from pipeline.core.errors import LipsmithError
from pipeline.corpora.manifest import record_of
from pipeline.dubbing.dub import dub_file
from pipeline.dubbing.face_path import FollowSettings
from pipeline.dubbing.settings import DubSettings
from pipeline.evaluation.videos.faces import PairedFaces
from pipeline.faces.any_roll import AnyRollDetector
from pipeline.faces.detector import YuNetDetector
from pipeline.media.container import VIDEO_SUFFIXES
from pipeline.media.file import MediaFile
from pipeline.params import PreprocessParams, load_params
from pipeline.preprocess.clip import process_clip
from pipeline.shards.index import Reject
from tests.support import media_cases as cases
from tests.support.media_cases import Make, cut_off, film

pytestmark = pytest.mark.slow


class Row(NamedTuple):
    """``note`` is part of a note of data and dub. ``data`` is the reason of a reject; ``dub`` and ``score`` are parts
    of an error. ``data`` and ``score`` may be NOT_LISTED. Empty: the file is used."""

    name: str
    make: Make
    note: str = ""
    data: str = ""
    dub: str = ""
    score: str = ""


NOT_LISTED = "not listed"
"""Sources and `score` search folders for files with other suffixes."""
LOST = [40 * k for k in range(36) if k not in (5, 6, 13, 20, 27, 33)]
PICTURE = {"data": NOT_LISTED, "score": NOT_LISTED}
PICTURES = ("jpg", "png", "tiff", "bmp", "webp", "gif", "avif")
ROWS = {
    "as it should be": Row("v.mkv", film()),
    "rotated": Row("v.mp4", film(lambda: cases.turned(3), configure=cases.rotation(90), audio_codec="aac")),
    "on its side": Row("v.mkv", film(lambda: cases.turned(1)), data="face_turned", score="on its side"),
    "upside down": Row("v.mkv", film(lambda: cases.turned(2)), data="face_turned", score="upside down"),
    "rolled": Row("v.mkv", film(lambda: cases.rolled(25))),
    "HDR": Row(
        "v.mkv", film(codec="ffv1", pix_fmt="yuv420p10le", configure=cases.hdr), note="HDR (HLG) is converted to BT.709"
    ),
    "interlaced": Row(
        "v.mp4",
        film(cases.woven, codec="libx264", audio_codec="aac", **{"x264-params": "tff=1"}),
        note="interlaced frames are deinterlaced",
    ),
    "interlaced without a flag": Row(
        "v.mkv", film(cases.woven, codec="ffv1"), note="look interlaced, but are not flagged"
    ),
    "pixels that are not square": Row("v.mkv", film(configure=cases.wide_pixels)),
    "variable frame rate": Row("v.mkv", film(codec="libx264", times_ms=LOST)),
    "frames with one time": Row("v.mkv", cases.same_times),
    "a playlist": Row(
        "v.mp4", cases.playlist, data="unreadable_file", dub="cannot be opened", score="cannot be opened"
    ),
    "a name with a pattern": Row("face%02d*.mkv", film()),
    "cut off before 80 %": Row(
        "v.mkv", cut_off(0.5, codec="ffv1"), data="broken_audio", dub="is cut off after", score="is cut off after"
    ),
    "cut off later": Row("v.mkv", cut_off(0.9, codec="ffv1"), note="is cut off after"),
    "cut off in a format without a length": Row("v.ts", cut_off(0.9, codec="mpeg2video", audio_codec="mp2")),
    "a damaged packet": Row("v.mov", cases.damaged, note="skipped 1 of "),
    "cover art": Row("v.m4a", cases.cover_art, data="broken_video", dub="no video", score="no video"),
    "transparent pixels": Row(
        "v.mkv", film(cases.with_alpha, codec="ffv1", pix_fmt="bgra"), note="transparent pixels are shown on black"
    ),
    "a folder of pictures": Row("pictures", cases.folder, **PICTURE),
    **{f"a picture as {kind}": Row(f"p.{kind}", cases.picture, **PICTURE) for kind in PICTURES},
    "a picture in tiles": Row("p.heic", cases.tiled, **PICTURE),
    **{f"an animated {kind}": Row(f"a.{kind}", cases.animation, **PICTURE) for kind in ("webp", "gif")},
}


@pytest.fixture(scope="module")
def preprocess(repo_root: Path) -> PreprocessParams:
    return load_params(repo_root / "params.yaml").preprocess


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of all rows, each made when it is first used."""
    folder = tmp_path_factory.mktemp("films")

    class Films(dict[str, Path]):
        def __missing__(self, name: str) -> Path:
            path = folder / name.replace(" ", "-") / ROWS[name].name
            path.parent.mkdir()
            ROWS[name].make(path)
            self[name] = path
            return path

    return Films()


class Silent:
    """A generator that changes nothing."""

    geometry, crop_px = "square", 96

    def audio_windows(self, voice, frames, fps):
        return np.zeros((len(frames), 80, 16), np.float32)

    def __call__(self, crops, windows, references, state):
        return crops


@pytest.mark.parametrize("name", ROWS)
def test_data(made: dict[str, Path], preprocess: PreprocessParams, name: str) -> None:
    row = ROWS[name]
    if row.data == NOT_LISTED:
        assert made[name].suffix not in VIDEO_SUFFIXES
        return
    (result,) = process_clip(record_of("a", "s", "train", made[name], ""), preprocess, Path("/"))
    assert (result.reason if isinstance(result, Reject) else "") == row.data, result
    if not row.data:
        assert row.note in result.note if row.note else result.note == ""


@pytest.mark.parametrize("name", ROWS)
def test_dub(made: dict[str, Path], tmp_path: Path, name: str, make_speech: Path) -> None:
    row, settings = ROWS[name], DubSettings(follow=FollowSettings(12, 15, 4.0), length="video")
    detectors = [AnyRollDetector(YuNetDetector(max_px=160))]
    out = tmp_path / "out.mp4"
    if row.dub:
        with pytest.raises(LipsmithError, match=row.dub):
            dub_file(made[name], make_speech, out, Silent(), lambda side: detectors, settings)
        assert not out.exists()
        return
    summary = dub_file(made[name], make_speech, out, Silent(), lambda side: detectors, settings)
    assert summary.num_missing == 0
    notes = "; ".join(note for note in summary.notes if not note.startswith(f"{make_speech}: "))
    assert row.note in notes if row.note else notes == ""


@pytest.fixture(scope="module")
def make_speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "speech.mkv"
    cases.write_film(path)
    return path


@pytest.mark.parametrize("name", ROWS)
def test_score(made: dict[str, Path], preprocess: PreprocessParams, name: str) -> None:
    """The reader of `score`, with a file as its own real video."""
    row = ROWS[name]
    if row.score == NOT_LISTED:
        assert made[name].suffix not in VIDEO_SUFFIXES
        return
    with MediaFile(made[name]) as shown, MediaFile(made[name]) as real:
        if row.score:
            with pytest.raises(LipsmithError, match=row.score):
                PairedFaces.find(shown, real, preprocess)
            return
        faces = PairedFaces.find(shown, real, preprocess)
        crops, _ = faces.crops("square")
        assert len(crops) >= 25
        assert len(faces.context(preprocess)) == len(crops)
        assert len(faces.speech(preprocess)) > 0
        notes = "; ".join(real.notes)
        assert row.note in notes if row.note else notes == ""
