"""Source ``demo``: render a talking-head corpus in LRS2's folder layout.

The phoneme times of synthesised speech drive the lips of rendered portraits, so audio and video are in sync by
construction. A clip is a pure function of the spec, the speaker's number and the clip's number.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, as_completed
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core import atomic
from pipeline.core.choices import SplitBy
from pipeline.core.code_digest import Code
from pipeline.core.errors import UserError
from pipeline.core.layout import CODE_ROOT
from pipeline.core.worker_pool import worker_pool
from pipeline.corpora.demo.motion import head_track
from pipeline.corpora.demo.portrait import Portrait, make_look
from pipeline.corpora.demo.script import speak_clip
from pipeline.corpora.demo.visemes import mouth_track
from pipeline.corpora.lrs2 import read_transcript
from pipeline.corpora.manifest import SPLITS
from pipeline.corpora.split import assign_splits, least_test
from pipeline.faces.detector import limit_opencv_threads
from pipeline.features.alignment import FPS, SAMPLE_RATE_HZ, num_samples_of
from pipeline.media.writer import VideoWriter
from pipeline.report.progress import Progress

_CLIPS_PER_TASK = 5
_FINGERPRINT = "demo.json"
_SPLIT_FIELDS = ("split_by", "val_fraction", "test_fraction")


@dataclass(frozen=True)
class DemoSpec:
    """What to render, and its splits. ``size_px`` is even. ``head_motion``: factor of the head's drift and nods.

    ``split_by``: clip (all splits share the speakers) or speaker. ``val_fraction`` and ``test_fraction``: shares of the
    clips or speakers.
    """

    num_speakers: int
    num_clips_per_speaker: int
    clip_seconds: float = 3.0
    size_px: int = 160
    head_motion: float = 1.0
    split_by: SplitBy = "clip"
    val_fraction: float = 0.0
    test_fraction: float = 0.0
    seed: int = 1234

    @property
    def num_frames(self) -> int:
        return round(self.clip_seconds * FPS)

    @property
    def num_samples(self) -> int:
        return num_samples_of(self.num_frames)

    @property
    def fingerprint_fields(self) -> dict[str, Any]:
        """All fields except those of the splits. Another value renders every clip again."""
        return {name: value for name, value in asdict(self).items() if name not in _SPLIT_FIELDS}


@dataclass(frozen=True)
class DemoClip:
    """One rendered clip. ``clip_id`` is ``<speaker>/<number>``, as in the split lists."""

    clip_id: str
    speaker: str
    split: str
    path: Path
    transcript: str


def render_corpus(spec: DemoSpec, root: Path, num_workers: int) -> list[DemoClip]:
    """Render the missing clips below ``root`` and return every clip. Bytes do not depend on ``num_workers``.

    Clips of an earlier call are kept if spec and code are the same; otherwise they are replaced. Other splits replace
    no clip. Raises UserError if ``root`` has an ``mvlrs_v1`` that this function did not write.
    """
    _claim(root, spec)
    names = [(s, c) for s in range(spec.num_speakers) for c in range(spec.num_clips_per_speaker)]
    missing = [name for name in names if not _is_complete(_clip_path(root, spec, *name))]
    with Progress("render", len(names)) as progress:
        progress.add(len(names) - len(missing), is_fresh=False)
        for num_rendered in _render_all(spec, root, missing, num_workers):
            progress.add(num_rendered)
    split_of = _splits(spec)
    clips = [_describe(root, spec, split_of[name], *name) for name in names]
    for split in SPLITS:
        lines = [f"{clip.clip_id}\n" for clip in clips if clip.split == split]
        atomic.write_text(root / f"{split}.txt", "".join(lines))
    return clips


def _render_all(spec: DemoSpec, root: Path, missing: list[tuple[int, int]], num_workers: int) -> Iterator[int]:
    """Render clips in tasks of a few clips of one speaker, whose portrait is painted once. Yields clips per task."""
    tasks: list[tuple[int, list[int]]] = []
    for speaker, clip in missing:
        if tasks and tasks[-1][0] == speaker and len(tasks[-1][1]) < _CLIPS_PER_TASK:
            tasks[-1][1].append(clip)
        else:
            tasks.append((speaker, [clip]))
    if num_workers <= 1 or len(tasks) <= 1:
        for speaker, clips in tasks:
            for clip in clips:
                render_clip(spec, root, speaker, clip)
                yield 1
        return
    with worker_pool(min(num_workers, len(tasks)), partial(limit_opencv_threads, 1)) as pool:
        futures: list[Future[int]] = [pool.submit(_render_some, spec, root, *task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _render_some(spec: DemoSpec, root: Path, speaker: int, clips: list[int]) -> int:
    for clip in clips:
        render_clip(spec, root, speaker, clip)
    return len(clips)


def render_clip(spec: DemoSpec, root: Path, speaker: int, clip: int) -> None:
    """Write one clip's ``.mp4`` and then its ``.txt``, which marks the clip as complete."""
    path = _clip_path(root, spec, speaker, clip)
    transcript = render_video(path, spec, speaker, clip, _articulation(spec, speaker), crf=16)
    atomic.write_text(path.with_suffix(".txt"), f"Text:  {transcript}\nConf:  5\n")


def render_video(path: Path, spec: DemoSpec, speaker: int, clip: int, articulation: float, crf: int) -> str:
    """Write the video of one clip and return its words.

    ``articulation``: factor of the mouth's motion. ``crf``: quality factor of x264, lower is better.
    """
    speech, transcript = speak_clip(speaker, clip, spec.num_samples, spec.seed)
    rng = np.random.default_rng([spec.seed, speaker, clip, 0xFACE])
    portrait = _portrait(speaker, spec.seed, spec.size_px)
    mouths = mouth_track(speech.phones, spec.num_frames, FPS, articulation=articulation)
    poses = head_track(rng, speech.phones, spec.num_frames, FPS, spec.head_motion)
    size = (spec.size_px, spec.size_px)
    with VideoWriter(
        path, FPS, size, speech.samples, audio_rate_hz=SAMPLE_RATE_HZ, crf=crf, preset="veryfast"
    ) as writer:
        for frame, (mouth, pose) in enumerate(zip(mouths, poses, strict=True)):
            writer.write(portrait.render(mouth, pose, frame))
    return transcript


def _articulation(spec: DemoSpec, speaker: int) -> float:
    return float(np.random.default_rng([spec.seed, speaker, 0xA7]).uniform(1.0, 1.15))


@lru_cache(maxsize=1)
def _portrait(speaker: int, seed: int, size_px: int) -> Portrait:
    return Portrait(make_look(speaker, seed), size_px)


def _speaker_id(seed: int, speaker: int) -> str:
    """A name of 19 digits, like the programme names of LRS2."""
    digest = hashlib.sha256(f"lipsmith demo {seed} {speaker}".encode()).digest()
    return str(10**18 + int.from_bytes(digest[:8]) % (9 * 10**18))


def _clip_path(root: Path, spec: DemoSpec, speaker: int, clip: int) -> Path:
    return root / "mvlrs_v1" / "main" / _speaker_id(spec.seed, speaker) / f"{clip + 1:05d}.mp4"


def _is_complete(path: Path) -> bool:
    """Whether both files exist. The transcript is written last, but the video may have been deleted since."""
    return path.is_file() and path.with_suffix(".txt").is_file()


def _splits(spec: DemoSpec) -> dict[tuple[int, int], str]:
    """The split of each clip, by the numbers of its speaker and of itself."""
    by_speaker = spec.split_by == "speaker"
    names = [(s, c) for s in range(spec.num_speakers) for c in range(spec.num_clips_per_speaker)]
    unit_of = {(s, c): f"{s}" if by_speaker else f"{s}/{c}" for s, c in names}
    splits = assign_splits(
        unit_of.values(), spec.val_fraction, spec.test_fraction, spec.seed, least_test(spec.split_by)
    )
    return {name: splits[unit] for name, unit in unit_of.items()}


def _describe(root: Path, spec: DemoSpec, split: str, speaker: int, clip: int) -> DemoClip:
    path = _clip_path(root, spec, speaker, clip)
    name = path.parent.name
    return DemoClip(f"{name}/{path.stem}", name, split, path, read_transcript(path))


def _claim(root: Path, spec: DemoSpec) -> None:
    """Delete clips of another spec or other code, and write the fingerprint. Raises UserError for foreign clips."""
    fingerprint = {"spec": spec.fingerprint_fields, "code": _code_digest(), "made_by": "lipsmith demo"}
    marker, clips = root / _FINGERPRINT, root / "mvlrs_v1"
    if marker.is_file():
        if json.loads(marker.read_text()) == fingerprint:
            return
        if clips.exists():
            shutil.rmtree(clips)  # before the marker changes: clips that survive a kill still have the old marker
    elif clips.exists():
        raise UserError(
            f"{clips} exists but was not rendered by lipsmith; set dataset.source to lrs2 in params.yaml to use these "
            "clips, or move the folder away"
        )
    atomic.write_json(marker, fingerprint)


def _code_digest() -> str:
    """Digest of what determines a clip's bytes besides the spec: the code of `render_clip`, and the encoders' versions.

    The code is everything that `render_clip` refers to, without comments and docstrings.
    """
    encoders = ("av", "espeakng-loader", "numpy", "opencv-python-headless", "soxr")
    versions = "\n".join(f"{name} {version(name)}" for name in encoders)
    code = Code(CODE_ROOT).definition_digest(__name__, render_clip.__name__)
    return hashlib.sha256(f"{code}{versions}".encode()).hexdigest()
