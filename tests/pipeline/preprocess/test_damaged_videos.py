"""Damaged videos: none may end the run, and each must come out as samples or as a reject with a reason."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from pipeline.corpora.manifest import ClipRecord, record_of
from pipeline.preprocess.build import build_shards
from pipeline.preprocess.reasons import Reason
from pipeline.shards.read import read_clips

NUM_VIDEOS = int(os.environ.get("LIPSMITH_DAMAGED_VIDEOS", "150"))
"""A longer test: ``LIPSMITH_DAMAGED_VIDEOS=500``."""
Damage = Callable[[bytes, bytes, random.Random], bytes]


def flip_bits(content: bytes, _other: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 3, 30, 300))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def cut_off(content: bytes, _other: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def lose_the_middle(content: bytes, _other: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content))
    return content[:start] + content[start + rng.randrange(1, 4000) :]


def zero_a_stretch(content: bytes, _other: bytes, rng: random.Random) -> bytes:
    start, length = rng.randrange(len(content)), rng.randrange(1, 4000)
    return content[:start] + bytes(len(content[start : start + length])) + content[start + length :]


def graft(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """The beginning of one file, the end of another."""
    return content[: rng.randrange(len(content))] + other[rng.randrange(len(other)) :]


def repeat_a_stretch(content: bytes, _other: bytes, rng: random.Random) -> bytes:
    start, length = rng.randrange(len(content)), rng.randrange(1, 4000)
    return content[: start + length] + content[start:]


def empty(_content: bytes, _other: bytes, _rng: random.Random) -> bytes:
    return b""


def noise(content: bytes, _other: bytes, rng: random.Random) -> bytes:
    return rng.randbytes(len(content) // 8)


DAMAGES: list[Damage] = [
    flip_bits,
    flip_bits,
    cut_off,
    lose_the_middle,
    zero_a_stretch,
    graft,
    repeat_a_stretch,
    empty,
    noise,
]


@pytest.fixture
def originals(make_clip, tmp_path: Path) -> list[Path]:
    """The same picture and sound in several containers and codecs, one without sound, one with the streams swapped."""
    good = Path(make_clip("original", num_frames=28).path)
    paths = [good]
    for suffix, codecs in (
        (".mkv", None),
        (".mov", None),
        (".avi", ("mpeg4", "pcm_s16le")),
        (".mpg", ("mpeg1video", "mp2")),
    ):
        paths.append(_rewritten(good, good.with_suffix(suffix), codecs))
    paths.append(_rewritten(good, good.with_name("mute.mp4"), None, kinds=("video",)))
    paths.append(_rewritten(good, good.with_name("swapped.mkv"), None, kinds=("audio", "video")))
    return paths


def _rewritten(
    source: Path, target: Path, codecs: tuple[str, str] | None, kinds: tuple[str, ...] = ("video", "audio")
) -> Path:
    """The file in another container, encoded again where ``codecs`` (video, audio) are given."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        inputs = [next(stream for stream in read.streams if stream.type == kind) for kind in kinds]
        outputs, num_pictures = {}, 0
        for stream in inputs:
            if codecs is None:
                outputs[stream.index] = written.add_stream_from_template(stream)
            elif stream.type == "video":
                made = written.add_stream(codecs[0], rate=25)
                made.width, made.height, made.pix_fmt = stream.width, stream.height, "yuv420p"
                outputs[stream.index] = made
            else:
                outputs[stream.index] = written.add_stream(codecs[1], rate=16_000, layout="mono")
        for packet in read.demux(inputs):
            out = outputs[packet.stream.index]
            if codecs is None:
                if packet.dts is not None:
                    packet.stream = out
                    written.mux(packet)
                continue
            for frame in packet.decode():
                frame.pts = None
                if packet.stream.type == "video":
                    frame.pict_type, frame.pts, frame.time_base = 0, num_pictures, Fraction(1, 25)
                    num_pictures += 1
                written.mux(out.encode(frame))
        if codecs is not None:
            for out in outputs.values():
                written.mux(out.encode(None))
    return target


@pytest.mark.slow
def test_damaged_videos_are_all_accounted_for(originals: list[Path], tmp_path: Path, params) -> None:
    rng = random.Random(7)
    contents = [path.read_bytes() for path in originals]
    suffixes = [path.suffix for path in originals]
    records: list[ClipRecord] = []
    for number in range(NUM_VIDEOS):
        which = number % len(originals)
        damage = DAMAGES[number // len(originals) % len(DAMAGES)]
        suffix = suffixes[which] if number % 5 else rng.choice([".mp4", ".avi", ".webm", ".txt"])  # a wrong ending
        path = tmp_path / "damaged" / f"{number:03d}{suffix}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(damage(contents[which], contents[which - 1], rng))
        records.append(record_of(f"d/{number:03d}", "d", "train", path, ""))
    output = tmp_path / "out"
    quick = params.model_copy(update={"detect_every": 9, "context_px": 96, "clips_per_shard": 25})
    rows, rejects = build_shards(
        records, quick, 0, root=tmp_path, output_dir=output, work_dir=tmp_path / "work", num_workers=1
    )

    accounted = {name.split("-p")[0] for name in [row.clip_id for row in rows] + [reject.clip_id for reject in rejects]}
    assert accounted == {record.clip_id for record in records}
    reasons = Counter(reject.reason for reject in rejects)
    assert set(reasons) <= set(Reason), reasons
    assert len(reasons) >= 4, reasons  # they did hit different things
    assert all(reject.detail for reject in rejects)
    # What was kept can be read again, picture by picture.
    assert sum(len(clip.crops()) for clip in read_clips(output, "train")) == sum(row.num_frames for row in rows)
    assert rows
