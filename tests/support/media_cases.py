"""Films of one drawn face, made as the rows of docs/media.md describe them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray
from PIL import Image

from tests.support.drawn_face import draw_face, tone
from tests.support.heic import write_heic

NUM_FRAMES, SIZE_PX = 30, 160
Frames = Sequence[NDArray[np.uint8]]
Make = Callable[[Path], None]


@lru_cache(maxsize=1)
def faces() -> Frames:
    """A head that sways: uint8 [160, 160, 3] each."""
    return [draw_face(80 + 6 * np.sin(k / 8), 80) for k in range(NUM_FRAMES)]


def turned(turns: int) -> Frames:
    return [np.ascontiguousarray(np.rot90(face, turns)) for face in faces()]


def rolled(degrees: float) -> Frames:
    turn = cv2.getRotationMatrix2D((79.5, 79.5), -degrees, 1)
    return [np.asarray(cv2.warpAffine(face, turn, (160, 160), borderValue=(120, 110, 100))) for face in faces()]


def woven() -> Frames:
    """Interlaced frames whose second field is half a frame later."""
    frames = [draw_face(60 + 1.5 * k, 80) for k in range(2 * NUM_FRAMES)]
    both = [frame.copy() for frame in frames[::2]]
    for frame, later in zip(both, frames[1::2], strict=True):
        frame[1::2] = later[1::2]
    return both


def write_film(
    path: Path,
    frames: Frames | None = None,
    *,
    codec: str = "mpeg4",
    pix_fmt: str = "yuv420p",
    times_ms: Sequence[int] | None = None,
    configure: Callable[[Any], None] | None = None,
    audio_codec: str = "pcm_s16le",
    **options: str,
) -> None:
    """The film with a tone of its length. ``configure`` gets the video stream before the first frame."""
    frames = faces() if frames is None else frames
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25, options=options)
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt = pix_fmt
        if times_ms is not None:
            video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        if configure is not None:
            configure(video)
        sound = container.add_stream(audio_codec, rate=16_000, layout="mono")
        length_s = len(frames) / 25 if times_ms is None else (times_ms[-1] + 40) / 1000
        samples = (tone(length_s) * 32767).astype(np.int16)
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="bgra" if image.shape[2] == 4 else "bgr24")
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[number], Fraction(1, 1000)
            container.mux(video.encode(frame))
            _write_sound(container, sound, samples[640 * number : 640 * (number + 1)], 640 * number)
        container.mux(video.encode(None))
        _write_sound(container, sound, samples[640 * len(frames) :], 640 * len(frames))
        container.mux(sound.encode(None))


def _write_sound(container: Any, stream: Any, samples: NDArray[np.int16], start: int) -> None:
    if not len(samples):
        return
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts = 16_000, start
    for part in av.AudioResampler(stream.codec_context.format, "mono", 16_000).resample(frame):
        part.pts = start
        container.mux(stream.encode(part))


def film(frames: Callable[[], Frames] = faces, **settings: Any) -> Make:
    return lambda path: write_film(path, frames(), **settings)


def cut_off(share: float, **settings: Any) -> Make:
    """The film, twice, without its last bytes."""

    def make(path: Path) -> None:
        write_film(path, [*faces(), *reversed(faces())], **settings)
        content = path.read_bytes()
        path.write_bytes(content[: round(share * len(content))])

    return make


def same_times(path: Path) -> None:
    """A film, two of whose frames have the time of the frame before."""
    even = path.with_name("even.mkv")
    write_film(even, codec="mjpeg", pix_fmt="yuvj420p")
    with av.open(str(even)) as source, av.open(str(path), "w") as container:
        streams = [container.add_stream_from_template(stream) for stream in source.streams]
        for packet in source.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "video" and packet.pts in (280, 480):
                packet.pts = packet.dts = packet.pts - 40
            packet.stream = streams[packet.stream.index]
            container.mux(packet)


def damaged(path: Path) -> None:
    """A film, one of whose pictures has no readable header."""
    write_film(path, codec="png", pix_fmt="rgb24")
    parts = path.read_bytes().split(b"\x89PNG")
    path.write_bytes(b"\x89PNG".join(parts[:15]) + b"\0PNG" + b"\x89PNG".join(parts[15:]))


def playlist(path: Path) -> None:
    write_film(path.with_name("other.mp4"), audio_codec="aac")
    path.write_text("ffconcat version 1.0\nfile other.mp4\n")


def cover_art(path: Path) -> None:
    """A sound file with a picture that is not part of a film."""
    with av.open(str(path), "w", format="mp4") as container:
        picture = container.add_stream("mjpeg", rate=25)
        picture.width, picture.height, picture.pix_fmt = SIZE_PX, SIZE_PX, "yuvj420p"
        picture.disposition = Disposition.attached_pic
        sound = container.add_stream("aac", rate=16_000, layout="mono")
        container.mux(picture.encode(av.VideoFrame.from_ndarray(faces()[0], format="bgr24")))
        container.mux(picture.encode(None))
        _write_sound(container, sound, (tone(1.2) * 32767).astype(np.int16), 0)
        container.mux(sound.encode(None))


def picture(path: Path) -> None:
    """One face, in the format of the name."""
    Image.fromarray(faces()[0][..., ::-1]).save(path)


def animation(path: Path) -> None:
    first, *others = [Image.fromarray(face[..., ::-1]) for face in faces()]
    first.save(path, save_all=True, append_images=others, duration=40, quality=90)


def tiled(path: Path) -> None:
    """One face, stored in two tiles."""
    write_heic(path, [np.ascontiguousarray(half) for half in np.split(faces()[0], 2, axis=1)])


def folder(path: Path) -> None:
    path.mkdir()
    for number, face in enumerate(faces()):
        cv2.imwrite(str(path / f"{number}.png"), face)


def hdr(stream: Any) -> None:
    codec = stream.codec_context
    codec.color_primaries, codec.color_trc, codec.colorspace, codec.color_range = 9, 18, 9, 1  # BT.2020, HLG


def rotation(degrees: int) -> Callable[[Any], None]:
    return lambda stream: stream.set_display_rotation(degrees)


def wide_pixels(stream: Any) -> None:
    stream.codec_context.sample_aspect_ratio = Fraction(4, 3)


def with_alpha() -> Frames:
    opaque = [np.dstack([face, np.full(face.shape[:2], 255, np.uint8)]) for face in faces()]
    for image in opaque:
        image[:, :8, 3] = 0
    return opaque
