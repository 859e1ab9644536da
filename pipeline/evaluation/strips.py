"""Videos of the scored output, alone and beside real video and input, with the audio of the generator's input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageDraw, ImageFont

from pipeline.core.choices import BOUNDS, Reference
from pipeline.evaluation.generate import reference_frames
from pipeline.evaluation.protocol import Pair
from pipeline.evaluation.score import Generate, render
from pipeline.faces.crops import CROP_PX, resized_crops
from pipeline.features.alignment import FPS, SAMPLE_RATE_HZ, num_samples_of
from pipeline.features.samples import int16_to_float
from pipeline.media.image import write_png
from pipeline.media.writer import VideoWriter
from pipeline.shards.clip import Clip

Image = NDArray[np.uint8]
PANEL_PX = 320
GAP_PX = 8
LABEL_PX = 36
CAPTION_PX = 36
NUM_STRIP_STILLS = 3
_PAPER, _INK, _MUTED = (18, 22, 28), (240, 243, 246), (158, 168, 179)
_MASK_GREY = 128


def choose_strips(pairs: Sequence[Pair], clips: Mapping[str, Clip], num_strips: int) -> list[Pair]:
    """The first pairs in protocol order, one per speaker before a second one of any speaker."""
    turns: list[tuple[int, int]] = []
    num_seen: Counter[str] = Counter()
    for index, pair in enumerate(pairs):
        speaker = clips[pair.video_id].speaker
        turns.append((num_seen[speaker], index))
        num_seen[speaker] += 1
    return [pairs[index] for _, index in sorted(turns)[:num_strips]]


@dataclass(frozen=True)
class Take:
    """The video of one clip in a row of the comparison, with its audio."""

    variant: str
    video: Clip
    audio: Clip
    crops: Image
    """Crops of the real face: uint8 [N, S, S, 3]."""
    shown: Image
    """The context crops that are scored: uint8 [N, P, P, 3]."""

    @property
    def caption(self) -> str:
        is_own = self.audio.clip_id == self.video.clip_id
        voice = "its own voice" if is_own else f"voice of {self.audio.clip_id}"
        return voice + (f": {self.audio.transcript}" if self.audio.transcript else "")

    @property
    def samples(self) -> NDArray[np.float32]:
        return int16_to_float(self.audio.audio[: num_samples_of(len(self.shown))])


def make_take(variant: str, video: Clip, audio: Clip, generate: Generate | None) -> Take:
    """The shown video of a pair. ``generate``: None keeps the real video.

    Raises DataError if the generator's output is not finite.
    """
    crops, _, shown = render(video, audio, generate)
    return Take(variant, video, audio, crops, shown)


def write_take(path: Path, take: Take) -> None:
    """Write the scored video only: an MP4 of 320x320 for the comparison's page."""
    with VideoWriter(path, FPS, (PANEL_PX, PANEL_PX), take.samples, audio_rate_hz=SAMPLE_RATE_HZ, crf=24) as writer:
        for image in take.shown:
            writer.write(upscale(image))


def write_strip(path: Path, take: Take, reference: Reference) -> None:
    """Write an MP4 (H.264, AAC) with real, input and generated video side by side, and a PNG of a few of its frames.

    A bound has one panel, because nothing is generated.
    """
    shown = take.shown
    panels: dict[str, Iterable[Image]]
    if take.variant in BOUNDS:
        panels = {take.variant: map(upscale, shown)}
    else:
        context = take.video.context(range(len(shown)))
        boxes = np.asarray(take.video.crop_in_context, dtype=np.float64)
        inputs = map(input_panel, context, reference_frames(take.crops, reference), boxes[: len(shown)])
        panels = {
            "real": map(upscale, context),
            "input and reference": inputs,
            f"generated: {take.variant}": map(upscale, shown),
        }
    background = backdrop(list(panels), take.caption)
    height, width = background.shape[:2]
    still_frames = set(np.linspace(0, len(shown) - 1, NUM_STRIP_STILLS + 2).round().astype(int)[1:-1].tolist())
    stills: list[Image] = []
    with VideoWriter(path, FPS, (width, height), take.samples, audio_rate_hz=SAMPLE_RATE_HZ) as writer:
        for index, images in enumerate(zip(*panels.values(), strict=True)):
            frame = in_a_row(background, images)
            writer.write(frame)
            if index in still_frames:
                stills.append(frame)
    write_png(path.with_suffix(".png"), np.concatenate(stills))


def input_panel(context: Image, reference: Image, box: NDArray[np.float64]) -> Image:
    """The frame with the lower half of the crop masked, and the reference crop as an inset.

    They are the generator's input, except that `speech2vid` gets the reference only.

    ``context: uint8 [P, P, 3]``, ``reference: uint8 [S, S, 3]``, ``box: float64 [4]`` in context pixels
    -> uint8 [320, 320, 3].
    """
    panel = upscale(context)
    x0, y0, x1, y1 = np.clip(np.rint(box * PANEL_PX / len(context)), 0, PANEL_PX).astype(int)
    panel[(y0 + y1) // 2 : y1, x0:x1] = _MASK_GREY
    side = CROP_PX
    top, left = PANEL_PX - side - 8, 8
    panel[top - 2 : top + side + 2, left - 2 : left + side + 2] = 255
    panel[top : top + side, left : left + side] = resized_crops(reference[None], side)[0]
    return panel


def backdrop(labels: Sequence[str], caption: str) -> Image:
    """Background with a label above each panel and a caption below: uint8 [H, W, 3]."""
    width = len(labels) * (PANEL_PX + GAP_PX) + GAP_PX
    canvas = PIL.Image.new("RGB", (width, LABEL_PX + PANEL_PX + CAPTION_PX), _PAPER)
    draw = ImageDraw.Draw(canvas)
    font, small = ImageFont.load_default(18), ImageFont.load_default(15)
    for number, label in enumerate(labels):
        middle = _left_of(number) + PANEL_PX / 2
        draw.text((middle, LABEL_PX / 2), label, fill=_INK, font=font, anchor="mm")
    while small.getlength(caption) > width - 2 * GAP_PX:
        caption = caption.removesuffix("...")[:-1].rstrip() + "..."
    bottom = LABEL_PX + PANEL_PX + CAPTION_PX / 2
    draw.text((width / 2, bottom), caption, fill=_MUTED, font=small, anchor="mm")
    return np.asarray(canvas)[..., ::-1]


def in_a_row(background: Image, images: Iterable[Image]) -> Image:
    """One frame of the strip: the background with images ``uint8 [320, 320, 3]`` in its panels."""
    frame = background.copy()
    for number, image in enumerate(images):
        left = _left_of(number)
        frame[LABEL_PX : LABEL_PX + PANEL_PX, left : left + PANEL_PX] = image
    return frame


def upscale(image: Image) -> Image:
    """uint8 [P, P, 3] -> uint8 [320, 320, 3]."""
    large = PIL.Image.fromarray(image).resize((PANEL_PX, PANEL_PX), PIL.Image.Resampling.LANCZOS)
    return np.array(large)


def _left_of(number: int) -> int:
    return GAP_PX + number * (PANEL_PX + GAP_PX)
