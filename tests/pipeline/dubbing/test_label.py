"""The label in a corner of generated frames."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.dubbing.dubber import check_request
from pipeline.dubbing.label import label_frames, require_drawable


@pytest.mark.parametrize("size", [(240, 320), (1080, 1920), (40, 60), (9, 16)])
@pytest.mark.parametrize("level", [0, 255])
def test_a_label_is_legible_on_any_ground_and_covers_a_corner_only(size, level):
    image = np.full((*size, 3), level, np.uint8)
    labelled = label_frames("generated mouth")(image)
    assert labelled.shape == image.shape and labelled.dtype == np.uint8
    assert (image == level).all()
    changed = (labelled != image).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if size[0] > 100:
        assert rows[0] > 0.9 * size[0] and columns[-1] < size[1] / 2
        band = labelled[rows[0] :, : columns[-1] + 1]
        assert int(band.max()) - int(band.min()) > 100


def test_every_frame_gets_its_own_label():
    label = label_frames("generated")
    dark, bright = (np.full((120, 160, 3), level, np.uint8) for level in (10, 200))
    assert (label(dark)[:60] == 10).all() and (label(bright)[:60] == 200).all()
    assert (label(dark) == label(dark)).all()


@pytest.mark.parametrize("text", [None, ""])
def test_without_a_text_frames_stay(text):
    image = np.zeros((20, 30, 3), np.uint8)
    assert label_frames(text)(image) is image


@pytest.mark.parametrize(
    ("text", "named"), [("生成", "'生' '成'"), ("made\nhere", r"'\\n'"), ("a\u202eb", r"'\\u202e'")]
)
def test_characters_that_cannot_be_drawn_are_refused(text, named):
    with pytest.raises(
        UserError, match=rf"label is .*, but the font of labels has no {named}; use Latin, Greek or Cyrillic letters"
    ):
        require_drawable(text)


@pytest.mark.parametrize(
    "text", [None, "", "generated mouth", "Künstlich erzeugt: ça, 50 %!", "é ß ø œ — “x”", "сгенерировано"]
)
def test_labels_that_can_be_drawn(text):
    require_drawable(text)


def test_a_label_is_checked_before_anything_is_computed(tmp_path):
    with pytest.raises(UserError, match="the font of labels has no"):
        check_request(tmp_path / "face.mp4", tmp_path / "voice.wav", tmp_path / "out.mp4", {"label": "生成"})
