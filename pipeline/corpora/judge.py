"""The corpus of a judge: an evaluator that is trained once, on many speakers, and shipped.

It has rendered speakers with varied faces, voices, sizes and compression, and GRID's speakers. The rendered speakers of
``val`` and ``test`` occur in no other split. GRID's clips are split by clip, so its speakers are known in all splits.
More speakers of GRID may be in ``test`` only, to measure the judge on people that it has never seen.
"""

from __future__ import annotations

import csv
import io
from concurrent.futures import as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.core import atomic
from pipeline.core.errors import UserError
from pipeline.core.worker_pool import worker_pool
from pipeline.corpora.demo.render import DemoSpec, render_video
from pipeline.faces.detector import limit_opencv_threads
from pipeline.media.container import VIDEO_SUFFIXES
from pipeline.report.progress import Progress

METADATA = "metadata.csv"
SIZES_PX = (112, 128, 160, 192)
"""Sides of the rendered videos. A face is about 0.6 of it."""
CRF = (16, 32)
"""Compression of the rendered videos by x264, from 16 (nearly lossless) up to and without 32."""
ARTICULATION = (0.85, 1.1)
"""Range of the factor of the mouth's motion."""
_HELD_OUT_EVERY = 15
_VAL_SHARE, _TEST_SHARE = 0.02, 0.06
"""Shares of GRID's clips."""


@dataclass(frozen=True)
class JudgeCorpus:
    """What to render and which speakers of GRID to use.

    ``grid_root`` holds a folder for each speaker. ``unseen_root``: folder with videos of other speakers of GRID, named
    ``SPEAKER_CLIP`` or ``hq_SPEAKER_CLIP``, or None.
    """

    grid_root: Path
    unseen_root: Path | None = None
    grid_speakers: tuple[str, ...] = ("s1", "s26")
    num_speakers: int = 300
    num_clips_per_speaker: int = 6
    seed: int = 20161


def make_judge_corpus(corpus: JudgeCorpus, folder: Path, num_workers: int) -> None:
    """Render the missing clips into ``folder``, link GRID's speakers and write ``metadata.csv``.

    Raises UserError if the folder of a GRID speaker or ``unseen_root`` is missing or has no video.
    """
    grid = [_link_and_list(corpus.grid_root / name, folder / "grid" / name, "--grid") for name in corpus.grid_speakers]
    unseen = _link_and_list(corpus.unseen_root, folder / "unseen", "--unseen") if corpus.unseen_root else []
    _render_missing(corpus, folder, num_workers)
    rows = [row for speaker in range(corpus.num_speakers) for row in _rendered_rows(corpus, speaker)]
    rng = np.random.default_rng(corpus.seed)
    for name, videos in zip(corpus.grid_speakers, grid, strict=True):
        rows += _grid_rows(name, videos, rng)
    for video in unseen:
        speaker = video.removeprefix("hq_").partition("_")[0]
        if speaker not in corpus.grid_speakers:
            rows.append((f"unseen/{video}", f"unseen-{speaker}", "test"))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("path", "speaker", "split"))
    table.writerows(sorted(rows))
    atomic.write_text(folder / METADATA, text.getvalue())


def _link_and_list(source: Path, link: Path, option: str) -> list[str]:
    """Link a folder and return the names of its videos."""
    videos = sorted(path.name for path in source.iterdir() if path.suffix in VIDEO_SUFFIXES) if source.is_dir() else []
    if not videos:
        expected = {
            "--grid": "the folder that holds the GRID speakers",
            "--unseen": "a folder with videos SPEAKER_CLIP",
        }
        raise UserError(f"{source} is not a folder with videos; {option} must name {expected[option]}")
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.resolve() != source.resolve():
        link.unlink(missing_ok=True)
        link.symlink_to(source.resolve())
    return videos


def _grid_rows(speaker: str, videos: list[str], rng: np.random.Generator) -> list[tuple[str, str, str]]:
    order = rng.permutation(len(videos))
    num_test, num_val = round(_TEST_SHARE * len(videos)), round(_VAL_SHARE * len(videos))
    splits = ["test"] * num_test + ["val"] * num_val + ["train"] * (len(videos) - num_test - num_val)
    return [(f"grid/{speaker}/{videos[index]}", speaker, split) for index, split in zip(order, splits, strict=True)]


def _rendered_rows(corpus: JudgeCorpus, speaker: int) -> list[tuple[str, str, str]]:
    # Of 30 speakers, 0 and 15 are in test, and 7 is in val.
    is_test, is_val = speaker % _HELD_OUT_EVERY == 0, speaker % (2 * _HELD_OUT_EVERY) == 7
    split = "test" if is_test else "val" if is_val else "train"
    clips = range(corpus.num_clips_per_speaker)
    return [(_clip_name(speaker, clip), f"r{speaker:04d}", split) for clip in clips]


def _clip_name(speaker: int, clip: int) -> str:
    return f"rendered/r{speaker:04d}/{clip:02d}.mp4"


def _render_missing(corpus: JudgeCorpus, folder: Path, num_workers: int) -> None:
    names = [(s, c) for s in range(corpus.num_speakers) for c in range(corpus.num_clips_per_speaker)]
    missing: dict[int, list[int]] = {}
    for speaker, clip in names:
        if not (folder / _clip_name(speaker, clip)).is_file():
            missing.setdefault(speaker, []).append(clip)
    with Progress("render", len(names)) as progress:
        progress.add(len(names) - sum(map(len, missing.values())), is_fresh=False)
        with worker_pool(max(1, num_workers), partial(limit_opencv_threads, 1)) as pool:
            futures = [pool.submit(_render_speaker, corpus, folder, *task) for task in missing.items()]
            try:
                for future in as_completed(futures):
                    progress.add(future.result())
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def _render_speaker(corpus: JudgeCorpus, folder: Path, speaker: int, clips: list[int]) -> int:
    rng = np.random.default_rng([corpus.seed, speaker, 0x1D6E])
    size_px, crf = int(rng.choice(SIZES_PX)), int(rng.integers(*CRF))
    articulation = float(np.random.default_rng([corpus.seed, speaker, 0xA7]).uniform(*ARTICULATION))
    spec = DemoSpec(corpus.num_speakers, corpus.num_clips_per_speaker, size_px=size_px, seed=corpus.seed)
    for clip in clips:
        path = folder / _clip_name(speaker, clip)
        with atomic.replacing(path) as temporary:
            render_video(temporary, spec, speaker, clip, articulation, crf)
    return len(clips)
