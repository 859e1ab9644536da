"""Which of several audio tracks is used."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.media.errors import CorruptMediaError, NoAudioError
from pipeline.media.file import MediaFile
from tests.support.media_readers import sound_format_of
from tests.support.sound import RATE, tone
from tests.support.sound_files import make_undecodable, write_video

TONES_HZ = (300, 700, 1100)


def write_tones(path: Path, num: int = 2, default: int | None = None) -> Path:
    write_video(path, [tone(hz, 1.0)[:, None] for hz in TONES_HZ[:num]], default=default)
    return path


def heard_hz(path: Path, audio_track: int | None = None) -> int:
    with MediaFile(path, audio_track) as media:
        middle = media.samples()[RATE // 4 : 3 * RATE // 4]
    return round(float(np.argmax(np.abs(np.fft.rfft(middle)))) * 2)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize(("default", "expected_hz"), [(0, 300), (1, 700), (2, 1100)])
def test_the_default_track_is_used(tmp_path: Path, suffix: str, default: int, expected_hz: int) -> None:
    assert heard_hz(write_tones(tmp_path / f"v{suffix}", 3, default)) == expected_hz


def test_the_log_names_the_track_only_if_there_are_several(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    heard_hz(write_tones(tmp_path / "one.mkv", 1))
    assert not caplog.messages
    heard_hz(write_tones(tmp_path / "two.mkv", 2, default=1))
    assert caplog.messages == [
        f"{tmp_path / 'two.mkv'}: audio track 2 is used; its audio tracks are 1 (aac, mono), 2 (aac, mono)"
    ]


def test_sound_that_is_not_in_a_result_leaves_no_note(tmp_path: Path) -> None:
    with MediaFile(write_tones(tmp_path / "two.mkv", 2, default=1)) as media:
        media.samples(is_noted=False)
        assert media.notes == ()
        media.samples()
        assert media.notes == ("audio track 2 is used; its audio tracks are 1 (aac, mono), 2 (aac, mono)",)


def test_a_track_that_cannot_be_decoded_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    spatial = write_tones(tmp_path / "spatial.mov", 3)
    make_undecodable(spatial, num_tracks=2)
    assert heard_hz(spatial) == 1100
    assert "1 (unknown codec), 2 (unknown codec), 3 (aac, mono)" in caplog.text
    assert sound_format_of(spatial) == (RATE, 1)
    with MediaFile(spatial) as media:
        assert media.sound_delay_s == 0
        assert len(list(media.frames())) == 25


def test_a_known_codec_with_damaged_packets_is_passed_over(tmp_path: Path) -> None:
    video = write_tones(tmp_path / "v.mkv", 2, default=0)
    with MediaFile(video) as media, media._start() as container:
        packets = [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]
    content = video.read_bytes()
    for packet in packets:
        content = content.replace(packet, b"\xff" * len(packet))
    video.write_bytes(content)
    assert heard_hz(video) == 700


def test_a_file_without_a_decodable_track_says_so(tmp_path: Path) -> None:
    spatial = write_tones(tmp_path / "spatial.mov", 2)
    make_undecodable(spatial, num_tracks=2)
    with pytest.raises(CorruptMediaError, match=r"spatial\.mov: its audio stream has an unknown codec"):
        heard_hz(spatial)


def test_a_track_can_be_chosen(tmp_path: Path) -> None:
    video = write_tones(tmp_path / "v.mkv", 2, default=1)
    assert [heard_hz(video, number) for number in (1, 2, None)] == [300, 700, 700]
    assert heard_hz(write_tones(tmp_path / "one.mkv", 1), 1) == 300


@pytest.mark.parametrize("number", [0, 3, -1])
def test_a_number_without_a_track_is_refused(tmp_path: Path, number: int) -> None:
    expected = rf"no audio track {number}; it has the audio tracks 1 \(aac, mono\), 2 \(aac, mono\) \(--audio-track\)"
    with pytest.raises(UserError, match=expected):
        heard_hz(write_tones(tmp_path / "v.mkv", 2), number)


def test_a_mute_file_has_no_track(tmp_path: Path) -> None:
    write_video(tmp_path / "mute.mkv", [])
    with pytest.raises(NoAudioError):
        heard_hz(tmp_path / "mute.mkv")
    with pytest.raises(UserError, match="no audio track 1; it has no audio track"):
        heard_hz(tmp_path / "mute.mkv", 1)
