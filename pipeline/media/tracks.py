"""Selects the audio track of a file that has several."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av.error

from pipeline.core.errors import UserError
from pipeline.media.container import demux

_DEFAULT_TRACK = 0x0001  # AV_DISPOSITION_DEFAULT
_TRIED_PACKETS = 50
"""Packets in which a track must have a decodable frame. Decoders skip a few packets at the start of a stream."""

OpenContainer = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class AudioTrack:
    """An audio track: its index among the audio tracks, and a sentence about the choice, empty if there was none."""

    index: int
    choice: str = ""


def choose_audio_track(open_container: OpenContainer, path: Path, wanted: int | None = None) -> AudioTrack | None:
    """The audio track to use; None if the file has none.

    The track that is flagged as the default comes before the others. The first track that can be decoded is taken. If
    none can be decoded, the first of them is returned. ``wanted``: number of the track to use instead, from 1.
    ``open_container()`` opens the file again from its first byte. Raises UserError if no track has the number
    ``wanted``.
    """
    with open_container() as container:
        tracks = container.streams.audio
        num_tracks = len(tracks)
        if wanted is not None and not 1 <= wanted <= num_tracks:
            allowed = f"it has the audio tracks {_list(tracks)}" if num_tracks else "it has no audio track"
            raise UserError(f"{path}: there is no audio track {wanted}; {allowed} (--audio-track)")
        if num_tracks < 2:
            return AudioTrack(0) if num_tracks else None
        if wanted is not None:
            return AudioTrack(wanted - 1)
        all_tracks = _list(tracks)
        in_order = sorted(range(num_tracks), key=lambda index: not int(tracks[index].disposition) & _DEFAULT_TRACK)
    chosen = next((index for index in in_order if _is_decodable(open_container, index, path)), in_order[0])
    return AudioTrack(chosen, f"audio track {chosen + 1} is used; its audio tracks are {all_tracks}")


def _is_decodable(open_container: OpenContainer, index: int, path: Path) -> bool:
    with open_container() as container:
        stream = container.streams.audio[index]
        if stream.codec_context is None:
            return False
        for packet in itertools.islice(demux(container, stream, path), _TRIED_PACKETS):
            try:
                if packet.decode():
                    return True
            except av.error.FFmpegError:
                continue
    return False


def _list(tracks: Sequence[Any]) -> str:
    """The tracks with their numbers, languages, codecs and channels, such as ``1 (deu, aac, stereo), 2 (unknown)``."""
    return ", ".join(f"{number} ({_description(track)})" for number, track in enumerate(tracks, 1))


def _description(track: Any) -> str:
    language = [] if track.language in (None, "und") else [track.language]
    codec = track.codec_context
    return ", ".join([*language, *(["unknown codec"] if codec is None else [codec.name, codec.layout.name])])
