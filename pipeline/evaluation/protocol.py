"""Pairs, clips and frames of an evaluation: the part that must be equal for two results to be comparable."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.errors import DataError, UserError
from pipeline.core.seeded_order import seeded_order
from pipeline.shards.clip import Clip

PROTOCOL_ID = "lipsmith-unseen-3"
"""Increase the number when the meaning of a score changes."""
REAL = "real"
"""The row of ``BOUNDS`` that keeps its own audio."""


@dataclass(frozen=True)
class Pair:
    """The video of one clip with the audio of another."""

    video_id: str
    audio_id: str


def derange(clip_ids: Sequence[str], seed: int, max_clips: int = 0) -> list[Pair]:
    """Pair each clip's video with the audio of the next clip in a seeded ring, never with its own.

    ``max_clips`` keeps the first clips of the ring; 0 keeps all. Raises DataError for fewer than two clips,
    ValueError for a repeated clip id.
    """
    ring = seeded_order(clip_ids, seed)
    if len(set(ring)) != len(ring):
        raise ValueError("a clip id occurs twice in the test split")
    if max_clips:
        ring = ring[:max_clips]
    if len(ring) < 2:
        raise DataError(
            f"the split test has {len(ring)} clips; the evaluation pairs each video with the audio of another clip and "
            "needs at least 2. Enlarge the split test (params.yaml: dataset)"
        )
    return [Pair(ring[k], ring[(k + 1) % len(ring)]) for k in range(len(ring))]


MAX_ABSENT_SHARE = 0.1
"""Largest allowed share of pairs with a clip that is not held out. A list with more is probably of another corpus."""
_LINE = "`audio_id video_id`"


def read_pairs(path: Path, held_out: Collection[str], max_pairs: int = 0) -> list[Pair]:
    """Read a list of pairs in the layout of Wav2Lip's test lists: one ``audio_id video_id`` a line.

    A line with a tab is split at the tab only, so ids may contain spaces. A pair with a clip that is not in
    ``held_out`` is kept and counts as a failure. ``max_pairs`` keeps the first pairs; 0 keeps all. Raises UserError if
    the file is missing, is a folder or is not UTF-8, if a line is not a pair, if the list is empty or repeats a pair,
    or if many clips are not in ``held_out``.
    """
    if path.is_dir():
        raise UserError(f"{path} (params.yaml: evaluate.pairs) is a folder; it must be a text file of {_LINE} lines")
    if not path.is_file():
        raise UserError(f"{path} (params.yaml: evaluate.pairs) does not exist")
    try:
        text = path.read_text(encoding="utf-8-sig")  # utf-8-sig removes a byte order mark
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} (params.yaml: evaluate.pairs) is not text in UTF-8: {error}; save it in UTF-8"
        ) from None
    pairs: list[Pair] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = [word.strip() for word in line.split("\t") if word.strip()] if "\t" in line.strip() else line.split()
        if len(words) not in (0, 2):
            raise UserError(
                f"{path}, line {number}: {line.strip()!r} is not two clip ids, {_LINE}; if an id contains a space, "
                "separate the two with a tab"
            )
        if words:
            pairs.append(Pair(video_id=words[1], audio_id=words[0]))
    if not pairs:
        raise UserError(f"{path} (params.yaml: evaluate.pairs) has no pair; write one {_LINE} a line, two clip ids")
    pair, count = Counter(pairs).most_common(1)[0]
    if count > 1:
        raise UserError(
            f"{path} (params.yaml: evaluate.pairs) lists {pair.audio_id} {pair.video_id} {count} times; "
            "remove the repeats"
        )
    pairs = pairs[:max_pairs] if max_pairs else pairs
    known = set(held_out)
    lost = [pair for pair in pairs if not {pair.audio_id, pair.video_id} <= known]
    if len(lost) > MAX_ABSENT_SHARE * len(pairs):
        absent = [name for pair in lost for name in (pair.audio_id, pair.video_id) if name not in held_out]
        raise UserError(
            f"{path} (params.yaml: evaluate.pairs) names {len(set(absent))} clips that are not in the split test; the "
            f"first is {absent[0]}; use a list of this corpus, with ids such as {next(iter(held_out))}"
        )
    return pairs


def self_paired(pairs: Iterable[Pair]) -> list[Pair]:
    """The videos of the pairs in the same order, each once, with their own audio."""
    return [Pair(name, name) for name in dict.fromkeys(pair.video_id for pair in pairs)]


def pairing_sha256(pairs: Iterable[Pair]) -> str:
    """Digest of the pairs as "audio video" lines, the layout of Wav2Lip's test lists."""
    lines = "".join(f"{pair.audio_id} {pair.video_id}\n" for pair in pairs)
    return hashlib.sha256(lines.encode()).hexdigest()


def clips_sha256(clips: Iterable[Clip], audio_only: Iterable[Clip] = ()) -> str:
    """Digest of the scored data: id, length, frames, audio, mel spectrogram and crop position of each clip.

    ``audio_only``: clips used for their audio only; their id, length, audio and mel spectrogram count.
    """
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(f"{clip.clip_id} {clip.num_frames} {clip.num_samples}\n".encode())
        digest.update(clip.jpegs("frames"))
        digest.update(clip.jpegs("context"))
        digest.update(np.ascontiguousarray(clip.audio).tobytes())
        digest.update(np.ascontiguousarray(clip.mel).tobytes())
        digest.update(np.ascontiguousarray(clip.crop_in_context).tobytes())
    for clip in audio_only:
        digest.update(f"heard {clip.clip_id} {clip.num_samples}\n".encode())
        digest.update(np.ascontiguousarray(clip.audio).tobytes())
        digest.update(np.ascontiguousarray(clip.mel).tobytes())
    return digest.hexdigest()


def spread_frames(num_frames: Mapping[str, int], every_n_frames: int, max_frames: int) -> dict[str, list[int]]:
    """Frames for FID: every n-th frame of each clip, evenly thinned to at most ``max_frames`` in total."""
    candidates = [(clip_id, frame) for clip_id, num in num_frames.items() for frame in range(0, num, every_n_frames)]
    if len(candidates) > max_frames:
        kept = np.linspace(0, len(candidates) - 1, max_frames).round().astype(int)
        candidates = [candidates[k] for k in kept]
    frames: dict[str, list[int]] = {clip_id: [] for clip_id in num_frames}
    for clip_id, frame in candidates:
        frames[clip_id].append(frame)
    return frames


def with_digest(description: Mapping[str, Any]) -> dict[str, Any]:
    """The description with its ``sha256``; two results with equal digests are comparable."""
    canonical = json.dumps(description, sort_keys=True, allow_nan=False)
    return {**description, "sha256": hashlib.sha256(canonical.encode()).hexdigest()}
