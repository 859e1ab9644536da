"""Processor time and memory of dubbing, beside a loop of the shape of Wav2Lip's inference, in one run.

python benchmarks/dub.py --face VIDEO --audio SPEECH [--width 0.25] [--rounds 2] [--runtime onnx]

Both use one thread, the same detector (the dub that of the command, which also measures the roll of faces), and the
same network with random weights. lipsmith fuses batch normalisation into the convolutions and encodes with a faster
preset; the loop does neither, as published. Each measurement runs in a process of its own, which first dubs a few
frames, so that imports and first calls do not count. The ratio of the two is less affected by other work on the machine
than the times. The start is measured apart: imports and loading of a model.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, NamedTuple

import typer
from untrained import run_apart, save_generator

from pipeline.core.choices import Runtime
from pipeline.core.command_line import run_and_report
from pipeline.core.layout import Layout, find_root

WARM_UP_S = 0.4


class Measured(NamedTuple):
    num_frames: int
    cpu_s: float
    peak_mb: float
    start_cpu_s: float


def main(argv: Sequence[str] | None = None) -> int:
    return run_and_report(_command, argv, "python benchmarks/dub.py")


def _command(
    face: Annotated[Path, typer.Option(help="Video with a face, such as 640x480 at 25 fps.")],
    audio: Annotated[Path, typer.Option(help="Speech.")],
    width: Annotated[float, typer.Option(help="Channel factor of the generator.")] = 0.25,
    rounds: Annotated[int, typer.Option(help="Measurements of each; the medians count.")] = 2,
    runtime: Annotated[Runtime, typer.Option(help="Library that runs lipsmith's generator.")] = "torch",
) -> int:
    """Measure lipsmith's dubbing and a loop of the shape of Wav2Lip's inference."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        run_apart(partial(save_generator, model, width))
        ours: list[Measured] = []
        theirs: list[Measured] = []
        for _ in range(rounds):
            ours.append(run_apart(partial(_measure_ours, face, audio, model, runtime, Path(folder))))
            theirs.append(run_apart(partial(_measure_loop, face, audio, model, Path(folder))))
    rates = []
    for name, found in (("lipsmith", ours), ("Wav2Lip's loop", theirs)):
        rates.append(median(one.num_frames / one.cpu_s for one in found))
        print(
            f"{name}: {rates[-1]:.1f} frames per CPU second, peak {median(one.peak_mb for one in found):.0f} MB, "
            f"start {median(one.start_cpu_s for one in found):.2f} CPU s ({found[0].num_frames} frames)"
        )
    print(f"ratio: {rates[0] / rates[1]:.2f}")
    return 0


def _measure_ours(face: Path, audio: Path, model: Path, runtime: Runtime, folder: Path) -> Measured:
    from pipeline.dubbing.dub import dub_file
    from pipeline.dubbing.dubber import face_settings
    from pipeline.dubbing.settings import DubSettings
    from pipeline.faces.detector import limit_opencv_threads
    from pipeline.inference.runtimes import load_generator

    limit_opencv_threads(1)
    detectors, follow = face_settings(Layout(find_root()))
    settings = DubSettings(follow=follow)
    generate = load_generator(model, "cpu", runtime, 1, folder)
    started = time.process_time()
    warm_up = _beginning_of(audio, folder)
    dub_file(face, warm_up, folder / "ours.mp4", generate, detectors, settings)
    before = time.process_time()
    summary = dub_file(face, audio, folder / "ours.mp4", generate, detectors, settings)
    return Measured(summary.num_frames, time.process_time() - before, _peak_mb(), started)


def _measure_loop(face: Path, audio: Path, model: Path, folder: Path) -> Measured:
    import torch

    from pipeline.faces.detector import YuNetDetector, limit_opencv_threads
    from pipeline.inference.generator import MouthGenerator
    from pipeline.params import load_params

    sys.path.insert(0, str(Path(__file__).parent))
    from wav2lip_loop import dub_as_wav2lip  # type: ignore[import-not-found]

    limit_opencv_threads(1)
    torch.set_num_threads(1)
    params = load_params(Layout(find_root()).params_path).preprocess
    detector = YuNetDetector(params.detector_score, params.detector_max_px)
    generate = MouthGenerator.load(model, "cpu")
    started = time.process_time()
    dub_as_wav2lip(face, _beginning_of(audio, folder), folder / "loop.mp4", generate, detector)
    before = time.process_time()
    num_frames = dub_as_wav2lip(face, audio, folder / "loop.mp4", generate, detector)
    return Measured(num_frames, time.process_time() - before, _peak_mb(), started)


def _beginning_of(audio: Path, folder: Path) -> Path:
    from scipy.io import wavfile

    from pipeline.features.alignment import SAMPLE_RATE_HZ
    from pipeline.media.file import MediaFile

    with MediaFile(audio) as media:
        wavfile.write(folder / "short.wav", SAMPLE_RATE_HZ, media.samples()[: round(WARM_UP_S * SAMPLE_RATE_HZ)])
    return folder / "short.wav"


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    raise SystemExit(main())
