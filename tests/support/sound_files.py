"""Sound and video files with given audio tracks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition

PICTURE = (64, 48)


def write_sound(
    path: Path,
    samples: np.ndarray,
    rate_hz: int,
    codec: str,
    *,
    layout: str | None = None,
    container_options: dict[str, str] | None = None,
    **stream_settings: Any,
) -> None:
    """Encode ``float32 [n, channels]`` with FFmpeg. ``layout``: default, that of mono and stereo."""
    layout = layout or {1: "mono", 2: "stereo"}[samples.shape[1]]
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout, **stream_settings)
        _encode(container, stream, samples)


def write_video(
    path: Path,
    tracks: Sequence[np.ndarray],
    rate_hz: int = 16_000,
    *,
    seconds: float = 1.0,
    default: int | None = None,
    codec: str = "aac",
    picture_s: float = 0.0,
    frames: Sequence[np.ndarray] | None = None,
) -> None:
    """25 frames a second and audio tracks ``float32 [n, 1..2]``. The picture starts at ``picture_s``.

    ``default``: index of the only track that is flagged as the default one. ``frames``: ``uint8 [H, W, 3]`` each; by
    default grey ones for ``seconds``.
    """
    if frames is None:
        levels = range(0, 5 * round(25 * seconds), 5)
        frames = [np.full((*PICTURE[::-1], 3), level % 256, np.uint8) for level in levels]
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"bf": "0"})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = "yuv420p"
        streams = []
        for number, samples in enumerate(tracks):
            stream = container.add_stream(codec, rate=rate_hz, layout={1: "mono", 2: "stereo"}[samples.shape[1]])
            if default is not None:
                stream.disposition = Disposition.default if number == default else Disposition(0)
            streams.append(stream)
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts = number + round(25 * picture_s)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for stream, samples in zip(streams, tracks, strict=True):
            _encode(container, stream, samples)


def make_undecodable(path: Path, num_tracks: int = 1) -> None:
    """Change the codec of the first AAC tracks of a MOV or MP4 file to one that FFmpeg does not know."""
    content = bytearray(path.read_bytes())
    for _ in range(num_tracks):
        start = content.find(b"mp4a")
        stop = content.find(b"esds", start)
        content[start:stop] = content[start:stop].replace(b"mp4a", b"apac")  # iPhone's spatial audio
        content[stop : stop + 4] = b"xxxx"
    path.write_bytes(content)


def _encode(container: Any, stream: Any, samples: np.ndarray) -> None:
    codec, layout = stream.codec_context, stream.layout.name
    interleaved = np.ascontiguousarray(samples, np.float32).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=layout)
    frame.sample_rate = stream.rate
    resampler = av.AudioResampler(codec.format, layout, stream.rate, frame_size=codec.frame_size or 1024)
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        container.mux(stream.encode(part))
    container.mux(stream.encode(None))
