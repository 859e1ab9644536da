"""Writing video: lengths, sound, colour, sizes, atomicity."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.media.writer import VideoWriter
from tests.support.grey_videos import SIZE, grey, levels, write_frames
from tests.support.media_readers import iter_frames, read_frames, read_native_samples, read_samples


@pytest.mark.parametrize("fps", [25, 23.976, 29.97, Fraction(30000, 1001), 60])
@pytest.mark.parametrize(("rate_hz", "channels"), [(16_000, 1), (44_100, 2), (10_000, 1)])
def test_sound_and_picture_have_one_length(tmp_path: Path, fps: float | Fraction, rate_hz: int, channels: int) -> None:
    path = tmp_path / "v.mp4"
    num_samples = round(rate_hz * 0.7)
    audio = np.zeros((num_samples, channels), np.float32) if channels > 1 else np.zeros(num_samples, np.float32)
    with VideoWriter(path, fps, SIZE, audio, audio_rate_hz=rate_hz) as writer:
        for number in range(25):
            writer.write(grey(10 * number))
    with av.open(str(path)) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        assert picture.start_time == 0
        assert sound.channels == channels
        assert float(picture.duration * picture.time_base) == pytest.approx(25 / float(fps), abs=1e-3)
        assert float(sound.duration * sound.time_base) == pytest.approx(25 / float(fps), abs=2e-3)
    frames = list(iter_frames(path))
    assert levels([frame.image for frame in frames]) == list(range(25))
    assert [frame.time_s for frame in frames] == pytest.approx(np.arange(25) / float(fps), abs=1e-3)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 1.3])
def test_the_picture_can_follow_the_sound(tmp_path: Path, seconds: float) -> None:
    audio = np.zeros(round(16000 * seconds), np.float32)
    with VideoWriter(tmp_path / "v.mp4", 25, SIZE, audio, match="audio") as writer:
        for number in range(20):
            writer.write(grey(10 * number))
    images = [frame.image for frame in iter_frames(tmp_path / "v.mp4")]
    assert len(images) == round(seconds * 25)
    assert levels(images) == [min(number, 19) for number in range(len(images))]
    with av.open(str(tmp_path / "v.mp4")) as container:
        sound = container.streams.audio[0]
        assert float(sound.duration * sound.time_base) == pytest.approx(seconds, abs=1e-3)


def test_sound_comes_back_in_place(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    audio = np.zeros(32_000, np.float32)
    audio[16_000:20_000] = np.convolve(rng.normal(size=4000), np.ones(8) / 8, "same") * 0.3
    write_frames(tmp_path / "v.mp4", 25, 12.5, audio)
    decoded = read_samples(tmp_path / "v.mp4")
    lags = range(-40, 41)
    scores = [float(np.dot(decoded[15_000 + lag : 21_000 + lag], audio[15_000:21_000])) for lag in lags]
    assert lags[int(np.argmax(scores))] == 0


def test_stereo_stays_stereo(tmp_path: Path) -> None:
    left = 0.5 * np.sin(np.arange(16000) * 0.2)
    write_frames(tmp_path / "v.mp4", 25, 25, np.stack([left, 0 * left], axis=1).astype(np.float32))
    samples, rate_hz = read_native_samples(tmp_path / "v.mp4")
    assert rate_hz == 16000
    assert np.abs(samples[2000:14000]).mean(axis=0) == pytest.approx([0.318, 0.0], abs=0.02)


def test_colours_survive_without_a_tint(tmp_path: Path) -> None:
    patches = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200], [128, 128, 128], [30, 160, 220]], np.uint8)
    image = np.repeat(np.repeat(patches[None], 48, axis=0), 16, axis=1)
    with VideoWriter(tmp_path / "v.mp4", 25, (80, 48), crf=1) as writer:
        for _ in range(3):
            writer.write(image)
    decoded = read_frames(tmp_path / "v.mp4")[1]
    difference = decoded[:, 8::16].astype(int) - image[:, 8::16]
    assert np.abs(difference).max() <= 3
    assert abs(difference.mean()) < 0.6


def test_odd_sides_are_padded(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4", 25, (63, 47)) as writer:
        writer.write(grey(100, (63, 47)))
    frames = read_frames(tmp_path / "v.mp4")
    assert frames.shape == (1, 48, 64, 3)
    assert np.abs(frames.astype(int) - 100).max() <= 2


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 255, (20, 20, 3)).astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    audio = (0.1 * rng.normal(size=16_000)).astype(np.float32)
    contents = set()
    for run in range(6):
        rng.bytes(100_000 + 37_000 * run)  # moves later allocations
        with VideoWriter(tmp_path / f"{run}.mp4", 25, (98, 50), audio) as writer:
            for number in range(30):
                writer.write(np.ascontiguousarray(scene[number : number + 50, number : number + 98]))
        contents.add((tmp_path / f"{run}.mp4").read_bytes())
    assert len(contents) == 1


def test_a_failed_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    write_frames(path, 3)
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="stop"), VideoWriter(path, 25, SIZE) as writer:
        writer.write(grey(0))
        raise RuntimeError("stop")
    with pytest.raises(ValueError, match="no frame"), VideoWriter(path, 25, SIZE):
        pass
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["v.mp4"]


def test_the_writer_refuses_what_it_cannot_mean(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.mp4"):
        VideoWriter(tmp_path / "v.avi", 25, SIZE)
    with pytest.raises(ValueError, match="audio must be"):
        VideoWriter(tmp_path / "v.mp4", 25, SIZE, np.zeros((10, 6), np.float32))
    with pytest.raises(ValueError, match="NaN"):
        VideoWriter(tmp_path / "v.mp4", 25, SIZE, np.full(10, np.nan, np.float32))
    with pytest.raises(ValueError, match="match='audio'"):
        VideoWriter(tmp_path / "v.mp4", 25, SIZE, match="audio")
    with pytest.raises(ValueError, match="must be uint8"), VideoWriter(tmp_path / "v.mp4", 25, SIZE) as writer:
        writer.write(np.zeros((10, 10, 3), np.uint8))


def test_the_file_starts_with_its_table_of_contents(tmp_path: Path) -> None:
    write_frames(tmp_path / "v.mp4", 3)
    content = (tmp_path / "v.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # plays in a browser before it is loaded whole
