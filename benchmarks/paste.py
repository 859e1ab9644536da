"""Accuracy of dubbing's crops and paste on real clips, with generated crops whose right result is known.

python benchmarks/paste.py --clips FOLDER [--num-clips 12]

Prints the distance of the crop from a face that sways, the PSNR of an unchanged crop pasted back, and the tint in grey
levels that a background in another colour causes, which should be 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from pipeline.core.command_line import run_and_report
from pipeline.core.layout import Layout, find_root
from pipeline.dubbing.paste import paste_mouth
from pipeline.dubbing.tint import pixels_inside, skin_difference
from pipeline.faces.crops import CROP_PX, Cropper, crop_boxes
from pipeline.faces.detector import YuNetDetector
from pipeline.faces.smooth import smooth_faces
from pipeline.faces.track import FaceTrack, link_detections
from pipeline.features.alignment import FPS
from pipeline.media.file import MediaFile
from pipeline.params import load_params

SWAY = 0.1
FREQUENCIES_HZ = (0.5, 1.0, 1.5, 2.0)
MOUTH_U, MOUTH_V = (0.28, 0.72), (0.58, 0.92)
FACE_U, FACE_V = 0.32, 0.5
"""Half-axes of an ellipse that contains the face in a square crop; what is outside gets another colour."""


def main(argv: Sequence[str] | None = None) -> int:
    return run_and_report(_command, argv, "python benchmarks/paste.py")


def _command(
    clips: Annotated[Path, typer.Option(help="Folder that contains GRID's s1, s2, ...")],
    num_clips: Annotated[int, typer.Option(help="Clips to use, spread evenly over the folder.")] = 12,
) -> int:
    """Measure the accuracy of dubbing's crops and paste on real clips."""
    params = load_params(Layout(find_root()).params_path).preprocess
    detector = YuNetDetector(params.detector_score, params.detector_max_px)
    paths = sorted(path for path in clips.glob("s*/*") if path.suffix in (".mpg", ".mp4"))
    sways, ratios_db, tints = [], [], []
    for index in np.linspace(0, len(paths) - 1, num_clips).round().astype(int):
        with MediaFile(paths[index]) as media:
            frames = [frame.image for frame in media.frames(FPS)]
        found = [detector.detect(frame) for frame in frames]
        track = max(link_detections(found, params.max_gap_frames), key=lambda track: track.area)
        sways.append([sway_error_px(track, params.smooth_frames, hz) for hz in FREQUENCIES_HZ])
        boxes = crop_boxes(smooth_faces(track, params.smooth_frames), "square")
        cut, middle = Cropper(boxes, CROP_PX), len(frames) // 2
        frame, box = frames[middle], boxes[middle]
        crop = cut(frame, middle)
        ratios_db.append(psnr_of_mouth(frame, paste_mouth(frame, crop, box, np.zeros(3, np.float32)), box))
        inside = pixels_inside(box, frame.shape[0], frame.shape[1], CROP_PX)
        tints.append(float(np.abs(skin_difference(crop, recoloured_background(crop), inside)[0]).max()))
    for hz, errors in zip(FREQUENCIES_HZ, np.transpose(sways), strict=True):
        print(
            f"sway of {SWAY:.0%} at {hz} Hz: at most {errors.mean():.1f} px of {CROP_PX}, worst clip {errors.max():.1f}"
        )
    print(f"unchanged crop: PSNR {np.mean(ratios_db):.1f} dB, worst clip {np.min(ratios_db):.1f}")
    print(f"tint by another background: {np.mean(tints):.1f} grey levels, worst clip {np.max(tints):.1f}")
    return 0


def sway_error_px(track: FaceTrack, smooth_frames: int, frequency_hz: float) -> float:
    """Largest distance of the smoothed face from where it swayed, in pixels of the crop."""
    size = float(np.nanmedian(track.boxes[:, 3] - track.boxes[:, 1]))
    sway = SWAY * size * np.sin(2 * np.pi * frequency_hz * np.arange(len(track.boxes)) / FPS)
    along = np.column_stack([sway, np.zeros_like(sway)])
    moved = FaceTrack(track.boxes + np.tile(along, 2), track.landmarks + along[:, None], track.scores)
    error = smooth_faces(moved, smooth_frames)[:, 0] - smooth_faces(track, smooth_frames)[:, 0] - sway
    return float(np.abs(error).max() / size * CROP_PX)


def psnr_of_mouth(frame: NDArray[np.uint8], pasted: NDArray[np.uint8], box: NDArray[np.float64]) -> float:
    x0, x1 = (round(box[0] + u * (box[2] - box[0])) for u in MOUTH_U)
    y0, y1 = (round(box[1] + v * (box[3] - box[1])) for v in MOUTH_V)
    difference = pasted[y0:y1, x0:x1].astype(np.float64) - frame[y0:y1, x0:x1]
    return float(10 * np.log10(255**2 / np.square(difference).mean()))


def recoloured_background(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    places = (np.arange(CROP_PX) + 0.5) / CROP_PX - 0.5
    is_face = np.add.outer((places / FACE_V) ** 2, (places / FACE_U) ** 2) < 1
    return np.where(is_face[..., None], crop, crop[..., ::-1])


if __name__ == "__main__":
    raise SystemExit(main())
