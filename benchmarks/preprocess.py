"""Speed of preprocessing source clips to shards, and of cutting training windows from shards, in one run.

python benchmarks/preprocess.py --clips FOLDER [--num-clips 96]

FOLDER contains GRID's s1, s2, ... Prints the frames/s with one and two workers and their ratio, the shares of decoding,
detection, cropping, encoding and sound on one thread, and the windows/s of a training run's loader on cached shards.
"""

from __future__ import annotations

import itertools
import logging
import os
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import ray
import typer
from numpy.typing import NDArray
from timing import timed

from pipeline.core.command_line import run_and_report
from pipeline.core.layout import Layout, find_root
from pipeline.corpora.manifest import ClipRecord, record_of
from pipeline.faces.crops import CROP_PX, Cropper, context_boxes, crop_boxes
from pipeline.faces.detector import YuNetDetector, detect_every, limit_opencv_threads
from pipeline.faces.smooth import smooth_faces
from pipeline.faces.track import link_detections
from pipeline.features.alignment import FPS
from pipeline.features.mel import mel_spectrogram
from pipeline.media.file import MediaFile
from pipeline.media.mjpeg import encode_mjpeg
from pipeline.params import PreprocessParams, load_params
from pipeline.preprocess.build import build_shards
from pipeline.shards.stream import ClipStream
from pipeline.training.generator_windows import CutGeneratorWindow
from pipeline.training.windows import CutSyncWindows, WindowBatches

NUM_BATCHES = 40
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")


def main(argv: Sequence[str] | None = None) -> int:
    return run_and_report(_command, argv, "python benchmarks/preprocess.py")


def _command(
    clips: Annotated[Path, typer.Option(help="Folder that contains GRID's s1, s2, ...")],
    num_clips: Annotated[int, typer.Option(help="Clips to use, spread evenly over the folder.")] = 96,
) -> int:
    """Measure the speed of preprocessing source clips to shards, and of cutting training windows from shards."""
    params = load_params(Layout(find_root()).params_path).preprocess.model_copy(update={"clips_per_shard": 8})
    paths = sorted(path for path in clips.glob("s*/*") if path.suffix in (".mpg", ".mp4"))
    chosen = [paths[k] for k in np.linspace(0, len(paths) - 1, num_clips).round().astype(int)]
    records = [record_of(f"{path.parent.name}/{path.stem}", path.parent.name, "train", path, "") for path in chosen]
    with tempfile.TemporaryDirectory() as folder:
        rates = {num: build_rate(records, params, Path(folder) / str(num), num) for num in (1, 2)}
        ratio = rates[2] / rates[1]
        print(f"whole stage: {rates[1]:.0f} frames/s with 1 worker, {rates[2]:.0f} with 2, ratio {ratio:.2f}")
        show_shares(chosen[:24], params)
        show_loader(Path(folder) / "1" / "shards")
    return 0


def build_rate(records: Sequence[ClipRecord], params: PreprocessParams, folder: Path, num_workers: int) -> float:
    """Frames/s of the whole stage: hashes, decoding, faces, crops, mel spectrograms, shards; without Ray's start."""
    if num_workers > 1:  # start Ray and run a few clips, so that its processes have imported the pipeline
        ray.init(num_cpus=num_workers, include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
        few, warm_dir = records[: params.clips_per_shard * num_workers], folder / "warm"
        build_shards(
            few, params, 0, root=warm_dir, output_dir=warm_dir / "a", work_dir=warm_dir / "b", num_workers=num_workers
        )
    started = time.monotonic()
    rows, rejects = build_shards(
        records, params, 0, root=folder, output_dir=folder / "shards", work_dir=folder / "work", num_workers=num_workers
    )
    seconds = time.monotonic() - started
    ray.shutdown()
    if rejects:
        print(f"{len(rejects)} clips or parts of clips rejected, such as {rejects[0].clip_id}: {rejects[0].detail}")
    return sum(row.num_frames for row in rows) / seconds


def show_shares(paths: Sequence[Path], params: PreprocessParams) -> None:
    """Print the share of each part's time, measured on one thread on the same clips."""
    limit_opencv_threads(1)
    detector = YuNetDetector(params.detector_score, params.detector_max_px)
    frames, decode_s = timed(lambda: [frames_of(path) for path in paths])
    found, detect_s = timed(lambda: [detect_every(detector, clip, params.detect_every) for clip in frames])
    tracked = [
        (clip, smooth_faces(max(tracks, key=lambda track: track.area), params.smooth_frames))
        for clip, faces in zip(frames, found, strict=True)
        if (tracks := link_detections(faces, params.max_gap_frames, params.detect_every))
    ]
    if len(tracked) < len(frames):
        print(f"{len(frames) - len(tracked)} of {len(frames)} clips show no face and are not cropped")
    crops, crop_s = timed(
        lambda: [
            [cut(frame, index) for index, frame in enumerate(clip)]
            for clip, face in tracked
            for cut in (
                Cropper(crop_boxes(face, params.crop), CROP_PX),
                Cropper(context_boxes(face), params.context_px),
            )
        ]
    )
    _, encode_s = timed(lambda: [encode_mjpeg(images, params.jpeg_quality) for images in crops])
    _, sound_s = timed(lambda: [mel_spectrogram(samples_of(path)) for path in paths])
    parts = {"decode": decode_s, "detect": detect_s, "crop": crop_s, "encode": encode_s, "sound and mel": sound_s}
    total, num_frames = sum(parts.values()), sum(map(len, frames))
    shares = ", ".join(f"{name} {100 * seconds / total:.0f} %" for name, seconds in parts.items())
    print(f"one thread: {num_frames / total:.0f} frames/s; {shares}")


def frames_of(path: Path) -> list[NDArray[np.uint8]]:
    with MediaFile(path) as media:
        return [frame.image for frame in media.frames(FPS)]


def samples_of(path: Path) -> NDArray[np.float32]:
    with MediaFile(path) as media:
        return media.samples()


def show_loader(shards_dir: Path) -> None:
    """Print the windows/s of the loader alone: the upper bound for training."""
    for name, cut, clips_per_batch, windows in (
        ("expert", CutSyncWindows(4, 5), 24, 4),
        ("generator", CutGeneratorWindow(6, 7), 4, 1),
    ):
        batches = WindowBatches(ClipStream(shards_dir, "train", 0), cut, clips_per_batch)
        stream = iter(batches)
        next(stream)
        _, seconds = timed(partial(list, itertools.islice(stream, NUM_BATCHES)))
        batches.close()
        rate = NUM_BATCHES * clips_per_batch * windows / seconds
        batch_ms = 1000 * seconds / NUM_BATCHES
        print(f"loader, {name}: {rate:.0f} windows/s, {batch_ms:.0f} ms per batch of {clips_per_batch} clips")


if __name__ == "__main__":
    raise SystemExit(main())
