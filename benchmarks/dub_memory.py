"""Peak memory of dubs of one minute and of a long input, each in a process of its own.

python benchmarks/dub_memory.py --face CLIP --audio SPEECH [--minutes 30] [--formats wav,mp3,flac,m4a] [--quick]

The pictures are the clip's at 320x240, forwards and backwards; the voice is the speech again and again, in 48 kHz and
stereo. The generator has random weights. The memory for the long input should exceed that for a minute by 10 % at most.

``--quick``: the generator generates the first batch only, and the detector searches the first frame only. All else, and
what is kept of each frame, is as without it.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, Any

import typer
from untrained import run_apart, save_generator

from pipeline.core.command_line import run_and_report
from pipeline.core.layout import Layout, find_root

SIZE = (320, 240)
SOUND_RATE_HZ = 48_000
CODECS = {"wav": "pcm_s16le", "mp3": "libmp3lame", "flac": "flac", "m4a": "aac"}


def main(argv: Sequence[str] | None = None) -> int:
    return run_and_report(_command, argv, "python benchmarks/dub_memory.py")


def _command(
    face: Annotated[Path, typer.Option(help="Clip with a face.")],
    audio: Annotated[Path, typer.Option(help="Speech.")],
    minutes: Annotated[float, typer.Option(help="Length of the long inputs.")] = 30,
    formats: Annotated[str, typer.Option(help="Formats of the voices, with commas.")] = "mp3",
    fps: Annotated[float, typer.Option(help="Frame rate of the videos.")] = 25,
    quick: Annotated[bool, typer.Option("--quick", help="Generate and search at the beginning only.")] = False,
    width: Annotated[float, typer.Option(help="Channel factor of the generator.")] = 0.25,
) -> int:
    """Measure the peak memory of dubs of one minute and of a long input."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_apart(partial(save_generator, folder / "model", width))
        for length in (1, minutes):
            run_apart(partial(_make_video, face, folder / f"{length:g}.mp4", length, fps))
        for suffix in formats.split(","):
            peaks_mb = []
            for length in (1, minutes):
                voice = folder / f"{length:g}.{suffix}"
                run_apart(partial(_make_voice, audio, voice, length))
                num_frames, cpu_s, peak_mb = run_apart(partial(_dub, folder / f"{length:g}.mp4", voice, folder, quick))
                peaks_mb.append(peak_mb)
                print(
                    f"{length:g} min, {suffix}: {num_frames} frames, {cpu_s:.0f} CPU s, peak {peak_mb:.0f} MB",
                    flush=True,
                )
            print(f"{suffix}: ratio {peaks_mb[1] / peaks_mb[0]:.3f}", flush=True)
    return 0


def _make_video(clip: Path, path: Path, minutes: float, fps: float) -> None:
    import cv2

    from pipeline.media.file import MediaFile
    from pipeline.media.writer import VideoWriter

    with MediaFile(clip) as media:
        images = [cv2.resize(frame.image, SIZE, interpolation=cv2.INTER_AREA) for frame in media.frames()]
    with VideoWriter(path, fps, SIZE, crf=20, preset="ultrafast") as writer:
        for image in islice(cycle([*images, *images[-2:0:-1]]), round(60 * minutes * fps)):
            writer.write(image)  # type: ignore[arg-type]


def _make_voice(speech: Path, path: Path, minutes: float) -> None:
    from fractions import Fraction

    import av
    import numpy as np

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(CODECS[path.suffix[1:]], rate=SOUND_RATE_HZ, layout="stereo")
        wanted = stream.codec_context.format.name
        convert = av.AudioResampler(format=wanted, layout="stereo", rate=SOUND_RATE_HZ, frame_size=1024)
        for start, block in _repeated(speech, round(60 * minutes * SOUND_RATE_HZ)):
            frame = av.AudioFrame.from_ndarray(np.stack([block, block]), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE_HZ, start, Fraction(1, SOUND_RATE_HZ)
            for converted in convert.resample(frame):
                container.mux(stream.encode(converted))
        for converted in convert.resample(None):
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))


def _repeated(speech: Path, num_samples: int) -> Iterator[tuple[int, Any]]:
    """Start and samples of the blocks of a sound of this length that repeats the speech."""
    from pipeline.media.file import MediaFile

    with MediaFile(speech) as media:
        samples = media.samples(SOUND_RATE_HZ)
    start = 0
    while start < num_samples:
        block = samples[: num_samples - start]
        yield start, block
        start += len(block)


def _dub(face: Path, voice: Path, folder: Path, quick: bool) -> tuple[int, float, float]:
    """Number of frames, CPU seconds, and the peak memory of this process in MB."""
    from pipeline.dubbing.dub import dub_file
    from pipeline.dubbing.dubber import face_settings
    from pipeline.dubbing.settings import DubSettings
    from pipeline.faces.detector import limit_opencv_threads
    from pipeline.inference.runtimes import load_generator

    limit_opencv_threads(1)
    detectors, follow = face_settings(Layout(find_root()))
    generate: Any = load_generator(folder / "model", "cpu", "torch", 1, folder)
    if quick:
        generate = _FirstBatch(generate)
        detectors_of = detectors
        detectors = lambda side: map(_FirstFrame, islice(detectors_of(side), 1))  # noqa: E731
    before = time.process_time()
    summary = dub_file(face, voice, folder / "out.mp4", generate, detectors, DubSettings(follow=follow))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return summary.num_frames, time.process_time() - before, peak_mb


class _FirstBatch:
    """A generator that returns its crops unchanged after the first batch."""

    def __init__(self, generate: Any) -> None:
        self._generate, self._has_generated = generate, False
        self.geometry, self.crop_px, self.audio_windows = generate.geometry, generate.crop_px, generate.audio_windows

    def __call__(self, crops: Any, windows: Any, references: Any, state: Any) -> Any:
        if self._has_generated:
            return crops
        self._has_generated = True
        return self._generate(crops, windows, references, state)


class _FirstFrame:
    """A detector that finds in all frames what it found in the first one."""

    def __init__(self, detector: Any) -> None:
        self._detector, self._found = detector, None
        self.max_px = detector.max_px

    def of_video(self) -> Any:
        return self

    def detect(self, frame_bgr: Any) -> Any:
        return self._detector.detect(frame_bgr)

    def detect_reduced(self, reduced_bgr: Any, whole: Any) -> Any:
        if self._found is None:
            self._found = self._detector.detect_reduced(reduced_bgr, whole)
        return self._found


if __name__ == "__main__":
    raise SystemExit(main())
