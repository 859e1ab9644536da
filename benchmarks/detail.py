"""What `dub --detail` does to real faces: sharpness, error, flicker and sync, with mouths whose right result is known.

python benchmarks/detail.py CLIP... [--model FOLDER] [--pictures FOLDER]

Generators: ``unchanged`` returns its input; ``later`` returns the crop of ``LATER_FRAMES`` later, and the audio is that
of later, too; ``trained`` is --model with the clip's own audio. The right result of the first two is known at the full
resolution: the source, and the later mouth pasted without loss. Prints for each clip, generator and strength:
sharpness and flicker of the mouth relative to the right result (``trained``: the source), its PSNR, LSE-C, LSE-D.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from paste import MOUTH_U, MOUTH_V, psnr_of_mouth

from pipeline.core.choices import CropGeometry
from pipeline.core.command_line import run_and_report
from pipeline.core.layout import Layout, find_root
from pipeline.dubbing.dub import regenerate
from pipeline.dubbing.face_path import Followed
from pipeline.dubbing.mouths import GenerateMouths
from pipeline.dubbing.paste import paste_mouth
from pipeline.dubbing.sync_score import DUB_JUDGE
from pipeline.dubbing.timing import OutputTiming
from pipeline.faces.crops import CROP_PX, Cropper, context_boxes, crop_boxes, sharpness
from pipeline.faces.detector import YuNetDetector
from pipeline.faces.smooth import smooth_faces
from pipeline.faces.track import link_detections
from pipeline.features.alignment import FPS, num_samples_of
from pipeline.features.mel import mel_spectrogram
from pipeline.features.samples import float_to_int16
from pipeline.inference.device import select_device, set_threads
from pipeline.inference.generator import MouthGenerator
from pipeline.inference.generator_inputs import ExtractedAudio
from pipeline.inference.lse_evaluator import Evaluator, load_judge
from pipeline.media.file import MediaFile
from pipeline.media.image import write_png
from pipeline.metrics.lse import EVALUATOR_INPUT_PX, lse_scores
from pipeline.params import PreprocessParams, load_params

LATER_FRAMES = 8
STRENGTHS = (0.0, 0.5, 1.0)
FULL_PX = 4 * CROP_PX
"""Crops of this size lose nothing of the clips' faces."""
Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class FaceClip:
    """Frames of a clip, the smoothed faces, the crop boxes of a geometry, and the sound at 16 kHz."""

    frames: Frames
    faces: NDArray[np.float64]
    boxes: NDArray[np.float64]
    samples: NDArray[np.float32]

    def crops(self, size_px: int) -> Frames:
        cut = Cropper(self.boxes, size_px)
        return np.stack([cut(frame, index) for index, frame in enumerate(self.frames)])

    def part(self, num_frames: int, first_audio_frame: int) -> FaceClip:
        sound = self.samples[num_samples_of(first_audio_frame) :][: num_samples_of(num_frames)]
        return FaceClip(self.frames[:num_frames], self.faces[:num_frames], self.boxes[:num_frames], sound)


class Prepared:
    """Stands in for a generator: returns prepared crops, in order."""

    geometry: CropGeometry = "square"

    def __init__(self, crops: Frames) -> None:
        self._rest, self.crop_px = iter(crops), crops.shape[1]

    def audio_windows(self, voice: object, frames: Sequence[int], fps: float) -> NDArray[np.float32]:
        return np.zeros((len(frames), 80, 16), np.float32)

    def __call__(self, crops: Frames, *_: object) -> Frames:
        return np.stack([next(self._rest) for _ in crops])


def main(argv: Sequence[str] | None = None) -> int:
    return run_and_report(_command, argv, "python benchmarks/detail.py")


def _command(
    clips: Annotated[list[Path], typer.Argument(help="Videos of one speaker each.")],
    model: Annotated[Path | None, typer.Option(help="Folder of a saved generator.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Folder for the mouths before and after, as PNG.")] = None,
) -> int:
    """Measure what the detail step of a dub does to real faces."""
    params = load_params(Layout(find_root()).params_path).preprocess
    set_threads(1)
    judge = load_judge(DUB_JUDGE, select_device("cpu"))
    trained = MouthGenerator.load(model, "cpu", "fp32") if model else None
    print("clip, generator, detail: sharpness, PSNR in dB, flicker, LSE-C, LSE-D, offset in frames")
    for path in clips:
        clip = read_clip(path, params, "square")
        num = len(clip.frames) - LATER_FRAMES
        crops, full = clip.crops(CROP_PX), clip.crops(FULL_PX)
        now, later = clip.part(num, 0), clip.part(num, LATER_FRAMES)
        later_right = np.stack(
            [_pasted(*pair) for pair in zip(later.frames, full[LATER_FRAMES:], later.boxes, strict=True)]
        )
        report(path, "right", 0, now, now.frames, now.frames, judge)
        report(path, "right later", 0, later, later_right, later_right, judge)
        for strength in STRENGTHS:
            dubbed = dub(now, Prepared(crops), strength)
            report(path, "unchanged", strength, now, dubbed, now.frames, judge)
            dubbed = dub(later, Prepared(crops[LATER_FRAMES:]), strength)
            report(path, "later", strength, later, dubbed, later_right, judge)
            if pictures:
                save(pictures / f"{path.stem} later {strength}.png", dubbed, later.boxes)
        if pictures:
            save(pictures / f"{path.stem} right.png", later_right, later.boxes)
            save(pictures / f"{path.stem} source.png", now.frames, now.boxes)
        if trained:
            clip = read_clip(path, params, trained.geometry)
            for strength in STRENGTHS:
                dubbed = dub(clip, trained, strength)
                report(path, "trained", strength, clip, dubbed, clip.frames, judge)
                if pictures:
                    save(pictures / f"{path.stem} trained {strength}.png", dubbed, clip.boxes)
    return 0


def _pasted(frame: Frames, full: Frames, box: NDArray[np.float64]) -> Frames:
    return paste_mouth(frame, full, box, np.zeros(3, np.float32))


def read_clip(path: Path, params: PreprocessParams, geometry: CropGeometry) -> FaceClip:
    detector = YuNetDetector(params.detector_score, params.detector_max_px)
    with MediaFile(path) as media:
        frames = np.stack([frame.image for frame in media.frames(FPS)])
        samples = media.samples()
    found = [detector.detect(frame) for frame in frames]
    track = max(link_detections(found, params.max_gap_frames), key=lambda track: track.area)
    start, stop = track.span
    faces = smooth_faces(track.part(start, stop), params.smooth_frames)
    return FaceClip(frames[start:stop], faces, crop_boxes(faces, geometry), samples[num_samples_of(start) :])


def dub(clip: FaceClip, generate: GenerateMouths, strength: float) -> Frames:
    voice = ExtractedAudio(mel_spectrogram(clip.samples), float_to_int16(clip.samples))
    followed = Followed(clip.boxes, np.zeros(len(clip.boxes)), ())
    timing = OutputTiming(Fraction(FPS), len(clip.frames))
    stream = enumerate(clip.frames)
    return np.stack([frame for _, frame in regenerate(stream, followed, voice, timing, generate, detail=strength)])


def report(
    path: Path, name: str, strength: float, clip: FaceClip, dubbed: Frames, right: Frames, judge: Evaluator
) -> None:
    sharp = [np.mean([sharpness(mouth) for mouth in mouths(frames, clip.boxes)]) for frames in (dubbed, right)]
    pairs = zip(right, dubbed, clip.boxes, strict=True)
    with np.errstate(divide="ignore"):  # equal images have an infinite PSNR
        error = np.mean([psnr_of_mouth(*pair) for pair in pairs]) if name in ("unchanged", "later") else np.nan
    flickers = [flicker(frames, clip.boxes) for frames in (dubbed, right)]
    cut = Cropper(context_boxes(clip.faces), EVALUATOR_INPUT_PX)
    context = np.stack([cut(frame, index) for index, frame in enumerate(dubbed)])
    score = lse_scores(*judge(context, float_to_int16(clip.samples)))
    print(
        f"{path.stem}, {name}, {strength}: {sharp[0] / sharp[1]:.3f}, {error:.2f}, {flickers[0] / flickers[1]:.3f}, "
        f"{score.lse_c:.3f}, {score.lse_d:.3f}, {score.offset_frames}",
        flush=True,
    )


def mouths(frames: Frames, boxes: NDArray[np.float64], margin: float = 0.0) -> Iterator[Frames]:
    """The mouth of each frame at its own resolution; ``margin`` in shares of the box."""
    for frame, box in zip(frames, boxes, strict=True):
        x0, x1 = (round(box[0] + u * (box[2] - box[0])) for u in (MOUTH_U[0] - margin, MOUTH_U[1] + margin))
        y0, y1 = (round(box[1] + v * (box[3] - box[1])) for v in (MOUTH_V[0] - margin, MOUTH_V[1] + margin))
        yield frame[max(0, y0) : y1, max(0, x0) : x1]


def flicker(frames: Frames, boxes: NDArray[np.float64]) -> float:
    """Mean absolute second difference over time of the pixels where the mouth usually is, in grey levels."""
    usual = np.repeat(np.median(boxes, axis=0)[None], len(frames), axis=0)
    stack = np.stack(list(mouths(frames, usual))).astype(np.int16)
    return float(np.abs(stack[2:] - 2 * stack[1:-1] + stack[:-2]).mean())


def save(path: Path, frames: Frames, boxes: NDArray[np.float64]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    middle = len(frames) // 2
    (mouth,) = mouths(frames[middle : middle + 1], boxes[middle : middle + 1], margin=0.1)
    write_png(path, np.ascontiguousarray(mouth))


if __name__ == "__main__":
    raise SystemExit(main())
