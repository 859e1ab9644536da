"""Clips and the sync expert for training on another machine, see `benchmarks/gpu.sh`.

python -m benchmarks.gpu_pack CLIPS EXPERT FOLDER [--max-mib 64] [--quality 95] [--clips-per-batch 64]
    [--params params.yaml]

Writes FOLDER/clips.npz with random clips of the splits train and val, and FOLDER/expert. FOLDER then has at most the
given size, including what was in it before.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.gpu_clips import CLIPS_NAME, EncodedClip, save_clips
from pipeline.core.command_line import run_and_report
from pipeline.core.errors import UserError
from pipeline.core.model_files import MODEL_NAME, WEIGHTS_NAME
from pipeline.media.mjpeg import encode_mjpeg
from pipeline.params import load_params
from pipeline.shards.clip import Clip
from pipeline.shards.index import IndexRow
from pipeline.shards.read import read_clips, read_index, shared_geometry
from pipeline.stages.train_gan import load_expert

MIB = 1 << 20
SHARES = {"train": 0.9, "val": 0.1}
"""Split -> its share of the size that is left for clips."""
NUM_PROBES = 4
"""Number of clips whose mean size decides how many fit."""
MARGIN = 0.97
"""The share of the size that is planned for, since clips differ and the file has a description."""
SEED = 0


def main(argv: Sequence[str] | None = None) -> int:
    return run_and_report(_command, argv, "python -m benchmarks.gpu_pack")


def _command(
    clips: Annotated[Path, typer.Argument(help="Folder of the shards and their index.")],
    expert: Annotated[Path, typer.Argument(help="Folder of the trained sync expert.")],
    folder: Annotated[Path, typer.Argument(help="Folder to write to.")],
    max_mib: Annotated[float, typer.Option(help="Largest size of FOLDER in MiB.")] = 64.0,
    quality: Annotated[int, typer.Option(help="JPEG quality of the face crops, 1..100.")] = 95,
    clips_per_batch: Annotated[int, typer.Option(help="Clips in a batch of the training.")] = 64,
    params: Annotated[Path, typer.Option(help="File with train_gan.min_expert_accuracy.")] = Path("params.yaml"),
) -> int:
    """Write clips and the sync expert for training on another machine."""
    min_accuracy = load_params(params).train_gan.min_expert_accuracy
    counts = pack(clips, expert, folder, max_mib * MIB, quality, min_accuracy)
    print(", ".join(f"{num} clips of {split}" for split, num in counts.items()))
    if counts["train"] < clips_per_batch:
        print(
            f"a batch of {clips_per_batch} clips needs as many of train; set BATCH to at most {counts['train']} on "
            "the other machine, or lower QUALITY here",
            file=sys.stderr,
        )
    return 0


def pack(
    clips_dir: Path, expert_dir: Path, folder: Path, max_bytes: float, quality: int, min_accuracy: float
) -> dict[str, int]:
    """Write expert and clips to ``folder``. Returns the number of clips of each split.

    Raises the errors of ``load_expert`` and of reading clips, and UserError if a split gets no clip.
    """
    index = read_index(clips_dir)
    geometry = shared_geometry(index)
    load_expert(expert_dir, min_accuracy, geometry)
    (folder / "expert").mkdir(parents=True)
    for name in (MODEL_NAME, WEIGHTS_NAME):
        shutil.copyfile(expert_dir / name, folder / "expert" / name)
    left = max_bytes - sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    chosen: list[EncodedClip] = []
    counts = {}
    for split, share in SHARES.items():
        rows = [row for row in index if row.split == split]
        of_split = _random_clips(clips_dir, rows, split, share * left * MARGIN, quality)
        if not of_split:
            raise UserError(
                f"{max_bytes / MIB:g} MiB are too few for a clip of the split {split} beside code, wheels and expert; "
                "raise --max-mib (gpu.sh: MAX_MIB)"
            )
        chosen += of_split
        counts[split] = len(of_split)
    save_clips(folder / CLIPS_NAME, chosen, geometry)
    return counts


def _random_clips(
    clips_dir: Path, rows: Sequence[IndexRow], split: str, max_bytes: float, quality: int
) -> list[EncodedClip]:
    """Random clips, as many as ``max_bytes`` hold."""
    keys = [rows[place].key for place in np.random.default_rng(SEED).permutation(len(rows))]
    probes = _encoded(clips_dir, split, keys[:NUM_PROBES], quality)
    num = max(0, int(max_bytes / np.mean([clip.num_bytes for clip in probes]))) if probes else 0
    clips = probes[:num] if num <= NUM_PROBES else _encoded(clips_dir, split, keys[:num], quality)
    while clips and sum(clip.num_bytes for clip in clips) > max_bytes:
        clips.pop()
    return clips


def _encoded(clips_dir: Path, split: str, keys: Sequence[str], quality: int) -> list[EncodedClip]:
    """The clips in the order of ``keys``. The JPEG files are made anew, without frames that an offset removes."""
    found = {
        clip.key: EncodedClip(clip.key, split, _jpegs(clip, quality), clip.mel)
        for clip in read_clips(clips_dir, split, ("frames", "mel"), keys)
    }
    return [found[key] for key in keys]


def _jpegs(clip: Clip, quality: int) -> list[bytes]:
    content, sizes = encode_mjpeg(clip.crops(), quality)
    ends = np.cumsum(sizes)
    return [content[end - size : end] for end, size in zip(ends, sizes, strict=True)]


if __name__ == "__main__":
    raise SystemExit(main())
