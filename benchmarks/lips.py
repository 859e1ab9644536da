"""Whether the lip metrics tell a clip's own sound from that of other clips, and what they cost.

python benchmarks/lips.py FOLDER [FOLDER ...] [--max-clips 40]

Needs the extra landmarks. Each folder holds real videos with their own sound. Each video is scored with its own sound,
with that of every other video of the folder, and as a still face: its middle frame, repeated. Prints:
- the mean of each metric with own sound, with other sound, and of a still face;
- the share of other sounds that score worse than the own one (chance 50 %), with its interval over clips;
- the share of frames with a face, and the CPU time of a clip.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray

from pipeline.compare.intervals import mean_interval
from pipeline.core.command_line import run_and_report
from pipeline.core.errors import DataError, UserError
from pipeline.core.layout import Layout, find_root
from pipeline.corpora.video_tree import files_below
from pipeline.evaluation.lips import LipScorer, crop_px_per_px
from pipeline.evaluation.videos.faces import PairedFaces
from pipeline.media.container import VIDEO_SUFFIXES
from pipeline.media.file import MediaFile
from pipeline.metrics.lips import LipScore, lip_score
from pipeline.metrics.lse import EVALUATOR_INPUT_PX
from pipeline.params import PreprocessParams, load_params

RESAMPLING = 0.95, 2000, 1
METRICS = (("opening ~ loudness", "opening_correlation", 1), ("lips in pauses, px", "pause_motion_px", -1))
"""Name, attribute of a score, and the sign with which larger is better."""


@dataclass(frozen=True)
class MeasuredClip:
    landmarks: NDArray[np.float64]
    still: NDArray[np.float64]
    audio: NDArray[np.int16]
    speech: Sequence[tuple[int, int]]
    landmarks_s: float
    speech_s: float


def main(argv: Sequence[str] | None = None) -> int:
    return run_and_report(_command, argv, "python benchmarks/lips.py")


def _command(
    folders: Annotated[list[Path], typer.Argument(help="Folders of real videos.")],
    max_clips: Annotated[int, typer.Option(help="Videos of each folder, spread over their names.")] = 40,
) -> int:
    """Measure whether the lip metrics tell own sound from other sound, and what they cost."""
    layout = Layout(find_root())
    params = load_params(layout.params_path).preprocess
    scorer = LipScorer.open(layout.weights_dir)
    if scorer.missing:
        raise UserError(scorer.missing)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    clips = [list(_measured(_spread(folder, max_clips), scorer, params)) for folder in folders]
    matrices = [[[_score(one.landmarks, other) for other in group] for one in group] for group in clips]
    flat = [clip for group in clips for clip in group]
    stills = [_score(clip.still, clip) for clip in flat]
    numbers = ", ".join(f"{len(group)} of {path}" for path, group in zip(folders, clips, strict=True))
    print(f"{len(flat)} clips: {numbers}")
    for name, key, sign in METRICS:
        _show(name, [np.array([[_value(s, key) for s in line] for line in matrix]) for matrix in matrices], sign)
        print(f"  still face {np.nanmean([_value(score, key) for score in stills]):.3f}")
    share = np.concatenate([np.isfinite(clip.landmarks[:, 0, 0]) for clip in flat]).mean()
    mean = {key: np.mean([getattr(clip, key) for clip in flat]) for key in ("landmarks_s", "speech_s")}
    length = np.mean([len(clip.landmarks) for clip in flat])
    print(f"frames with a face {share:.1%}; CPU time of a clip of {length:.0f} frames: landmarks", end=" ")
    print(f"{mean['landmarks_s']:.2f} s, speech {mean['speech_s']:.2f} s")
    return 0


def _spread(folder: Path, most: int) -> list[Path]:
    paths = [path for path in files_below(folder) if path.suffix.lower() in VIDEO_SUFFIXES]
    places = np.linspace(0, len(paths) - 1, min(most, len(paths))).round().astype(int)
    return [paths[place] for place in places]


def _measured(paths: Sequence[Path], scorer: LipScorer, params: PreprocessParams) -> Iterator[MeasuredClip]:
    assert scorer.landmarks and scorer.speech
    for path in paths:
        try:
            with MediaFile(path) as one, MediaFile(path) as other:
                faces = PairedFaces.find(one, other, params)
                context, audio = faces.context(params), faces.speech(params)
        except DataError as error:
            print(f"{path}: left out: {error}")
            continue
        started = time.process_time()
        landmarks = scorer.landmarks(context)
        middle = time.process_time()
        speech = scorer.speech(audio)
        ended = time.process_time()
        still = np.repeat(landmarks[len(landmarks) // 2][None], len(landmarks), axis=0)
        yield MeasuredClip(landmarks, still, audio, speech, middle - started, ended - middle)


def _score(landmarks: NDArray[np.float64], sound: MeasuredClip) -> LipScore:
    return lip_score(landmarks, sound.audio, sound.speech, crop_px_per_px(EVALUATOR_INPUT_PX))


def _value(score: LipScore, key: str) -> float:
    value = getattr(score, key)
    return np.nan if value is None else float(value)


def _show(name: str, matrices: Sequence[NDArray[np.float64]], sign: int) -> None:
    """``matrices: float [N, N]``, one per folder: videos by sounds, the own sound on the diagonal."""
    own, other, better = [], [], []
    for values in matrices:
        for place, line in enumerate(values):
            rest = np.delete(line, place)
            rest = rest[np.isfinite(rest)]
            if np.isfinite(line[place]) and len(rest):
                own.append(line[place])
                other.append(rest.mean())
                better.append(np.mean(sign * rest < sign * line[place]))
    print(f"{name}, {len(own)} clips: own sound {_with_interval(own)}, other sound {_with_interval(other)}")
    print(f"  own minus other {_with_interval(np.subtract(own, other))}, own is better {_with_interval(better)}")


def _with_interval(values: Sequence[float] | NDArray[np.float64]) -> str:
    interval = mean_interval(values, *RESAMPLING)
    return f"{np.mean(values):.3f} [{interval.low:.3f}, {interval.high:.3f}]"


if __name__ == "__main__":
    raise SystemExit(main())
