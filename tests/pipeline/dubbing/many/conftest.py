"""A checkout with a small untrained generator, clips and sounds for lists of dubs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from pipeline.core.layout import Layout
from pipeline.media.writer import VideoWriter
from tests.support.drawn_face import RATE_HZ, draw_face, tone
from tests.support.tiny_generator import make_checkout


@pytest.fixture(autouse=True)
def keep_number_of_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Clips of a face and of none, a broken clip, and sounds of 0.2 s, 1.6 s and without a voice."""
    layout = make_checkout(tmp_path_factory.mktemp("checkout"))
    for name, has_face in (("face.mp4", True), ("other.mp4", True), ("empty.mp4", False)):
        with VideoWriter(layout.root / name, 25, (160, 160), preset="ultrafast") as writer:
            for index in range(5):
                x = 80 + index if name == "face.mp4" else 76 - index
                writer.write(draw_face(x, 76) if has_face else np.full((160, 160, 3), 120, np.uint8))
    whole = (layout.root / "face.mp4").read_bytes()
    (layout.root / "broken.mp4").write_bytes(whole[: len(whole) // 3])
    for name, seconds, loudness in (("a.wav", 0.2, 0.2), ("long.wav", 1.6, 0.2), ("silent.wav", 1.6, 0)):
        wavfile.write(layout.root / name, RATE_HZ, tone(seconds, loudness))
    return layout


@pytest.fixture
def write_list(checkout: Layout, tmp_path: Path):
    """Writes a list of (face, audio, out, who, length); inputs are in the checkout, outputs beside the list."""

    def write(jobs: list[tuple[str, ...]], name: str = "jobs.csv") -> Path:
        path = tmp_path / name
        lines = ["face,audio,out,who,length"]
        for face, audio, out, *rest in jobs:
            who, length = [*rest, "", ""][:2]
            inputs = [str(checkout.root / file) if file else "" for file in (face, audio)]
            lines.append(",".join([*inputs, out, who, length]))
        path.write_text("\n".join(lines) + "\n")
        return path

    return write
