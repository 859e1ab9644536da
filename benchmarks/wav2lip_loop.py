"""The shape of Wav2Lip's inference, written anew from a description of its steps, for comparison of speed.

All frames are read into memory. The face is detected in every frame and smoothed before anything is generated. The
whole batch is then generated and pasted as rectangles into frames that are written twice: as MPEG-4, and with the sound
as H.264.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.features.alignment import MEL_RATE_HZ, MEL_WINDOW, SAMPLE_RATE_HZ
from pipeline.features.mel import mel_spectrogram
from pipeline.media.file import MediaFile

if TYPE_CHECKING:
    from pipeline.faces.detector import FaceDetector
    from pipeline.inference.generator import MouthGenerator

BATCH, SIDE_PX, PAD_BOTTOM_PX, SMOOTHED = 128, 96, 10, 5


def dub_as_wav2lip(face: Path, audio: Path, out: Path, generate: MouthGenerator, detector: FaceDetector) -> int:
    """Write the dubbed video; returns its number of frames. Raises ValueError for a frame without a face."""
    frames, fps = _read(face)
    with MediaFile(audio) as media:
        samples = media.samples()
    mel = mel_spectrogram(samples).T
    starts = [int(MEL_RATE_HZ / fps * k) for k in range(int(len(samples) / SAMPLE_RATE_HZ * fps))]
    windows = [mel[:, start : start + MEL_WINDOW] for start in starts if start + MEL_WINDOW <= mel.shape[1]]
    frames = frames[: len(windows)]
    boxes = _smoothed([_box(frame, detector) for frame in frames])
    height, width = frames[0].shape[:2]
    silent = out.with_suffix(".avi")
    writer = cv2.VideoWriter(str(silent), cv2.VideoWriter.fourcc(*"DIVX"), fps, (width, height))
    for first in range(0, len(windows), BATCH):
        shown = [k % len(frames) for k in range(first, min(first + BATCH, len(windows)))]
        crops = np.stack([cv2.resize(_inside(frames[k], boxes[k]), (SIDE_PX, SIDE_PX)) for k in shown])
        mouths = generate(crops, np.stack(windows[first : first + BATCH]), crops)
        for k, mouth in zip(shown, mouths, strict=True):
            frame, (x0, y0, x1, y1) = frames[k].copy(), boxes[k]
            frame[y0:y1, x0:x1] = cv2.resize(mouth, (x1 - x0, y1 - y0))
            writer.write(frame)
    writer.release()
    _join(silent, samples, out, fps)
    return len(windows)


def _read(path: Path) -> tuple[list[NDArray[np.uint8]], float]:
    capture = cv2.VideoCapture(str(path))
    frames: list[Any] = list(itertools.takewhile(lambda frame: frame is not None, _each(capture)))
    return frames, float(capture.get(cv2.CAP_PROP_FPS))


def _each(capture: Any) -> Any:
    while True:
        yield capture.read()[1]


def _box(frame: NDArray[np.uint8], detector: FaceDetector) -> NDArray[np.float64]:
    found = detector.detect(frame)
    if not found:
        raise ValueError("a frame has no face; Wav2Lip's inference stops at it")
    x0, y0, x1, y1 = found[0].box
    height, width = frame.shape[:2]
    return np.array([max(0, x0), max(0, y0), min(width, x1), min(height, y1 + PAD_BOTTOM_PX)])


def _smoothed(boxes: list[NDArray[np.float64]]) -> list[NDArray[np.int64]]:
    """Mean over each box and the next ones."""
    return [
        np.mean(boxes[min(k, len(boxes) - SMOOTHED) :][:SMOOTHED], axis=0).astype(np.int64) for k in range(len(boxes))
    ]


def _inside(frame: NDArray[np.uint8], box: NDArray[np.int64]) -> NDArray[np.uint8]:
    x0, y0, x1, y1 = box
    return frame[y0:y1, x0:x1]


def _join(silent: Path, samples: NDArray[np.float32], out: Path, fps: float) -> None:
    """Encode picture and sound with FFmpeg's defaults: libx264 with the preset medium, and AAC."""
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(silent)) as source, av.open(str(out), "w") as container:
        frames = source.decode(video=0)
        first = next(frames)
        video: Any = container.add_stream("libx264", rate=rate)
        video.width, video.height, video.pix_fmt = first.width, first.height, "yuv420p"
        video.codec_context.thread_count = 1
        sound: Any = container.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        for index, frame in enumerate(itertools.chain([first], frames)):
            frame.pts, frame.time_base = index, 1 / rate
            frame.pict_type = 0
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for start in range(0, len(samples), 1024):
            block = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = SAMPLE_RATE_HZ, start, Fraction(1, SAMPLE_RATE_HZ)
            container.mux(sound.encode(block))
        container.mux(sound.encode(None))
