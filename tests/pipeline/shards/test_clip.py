"""Clips cut again in another geometry or size."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.media.mjpeg import encode_mjpeg
from pipeline.shards.clip import Clip, clip_rng, picture_part
from pipeline.shards.write import ClipSample, _members

MakeSample = Callable[..., ClipSample]
PLACES = np.array([[20.0, 10, 120, 130], [24, 10, 124, 130], [28, 10, 128, 130], [32, 10, 132, 130]])

SQUARE = np.array([16.0, 10, 176, 170])


def with_boxes(sample: ClipSample, places: np.ndarray, side_px: int = 160) -> ClipSample:
    """The sample with context crops whose pixels have the values of their columns, and these places of box crops."""
    ramp = np.broadcast_to(np.arange(side_px, dtype=np.uint8)[:, None], (len(places), side_px, side_px, 3))
    mjpeg, sizes = encode_mjpeg(ramp, 100)
    return replace(sample, context_mjpeg=mjpeg, context_bytes=sizes, other_crops_in_context={"box": places})


def clip_of(sample: ClipSample, offset_frames: int = 0, *, lacking: str = "") -> Clip:
    members = {name: content for name, content in _members(sample).items() if name != lacking}
    return Clip(sample.key, "", members, clip_rng(0, 0, sample.key), offset_frames)


def ends_of(crop: np.ndarray) -> tuple[float, float]:
    """The columns of the context at the left and right edge of a crop."""
    columns = crop.astype(float).mean(axis=(0, 2))
    step = (columns[-1] - columns[0]) / 95
    return columns[0] - step / 2 + 0.5, columns[-1] + step / 2 + 0.5


def test_a_clip_is_cut_again_where_the_other_geometry_is(make_sample: MakeSample) -> None:
    stored = clip_of(with_boxes(make_sample("a"), PLACES), lacking="frames.mjpeg")
    clip = stored.recut("box")
    assert (clip.geometry, stored.geometry) == ("box", "square")
    np.testing.assert_allclose(clip.crop_in_context, PLACES)
    assert [ends_of(crop) for crop in clip.crops([3, 0])] == [pytest.approx(PLACES[k, [0, 2]], abs=1) for k in (3, 0)]
    assert clip.crops().shape == (4, 96, 96, 3)
    with pytest.raises(ValueError, match="'frames' was not read"):
        stored.crops()


def test_a_corrected_offset_moves_the_places_too(make_sample: MakeSample) -> None:
    clip = clip_of(with_boxes(make_sample("a"), PLACES), offset_frames=2).recut("box")
    np.testing.assert_allclose(clip.crop_in_context, PLACES[2:])
    assert [ends_of(crop) for crop in clip.crops()] == [pytest.approx(box[[0, 2]], abs=1) for box in PLACES[2:]]


def test_a_clip_of_the_wanted_geometry_stays_as_it_is(make_sample: MakeSample) -> None:
    clip = clip_of(make_sample("a"))
    assert clip.recut("square") is clip
    boxed = clip_of(replace(make_sample("a"), crop="box"))
    assert boxed.recut("box") is boxed
    assert [picture_part("box", wanted) for wanted in ("box", "square")] == ["frames", "context"]


def test_a_shard_of_an_earlier_version_is_square_and_cannot_be_cut_again(make_sample: MakeSample) -> None:
    members = _members(with_boxes(make_sample("a"), PLACES))
    description = json.loads(members["json"])
    del description["crop"], description["other_crops_in_context"]
    clip = Clip("a", "", members | {"json": json.dumps(description).encode()}, clip_rng(0, 0, "a"))
    assert clip.recut("square") is clip
    said = r"a: the crops have the geometry square, but .* box. An earlier version .*--single-item preprocess`"
    with pytest.raises(UserError, match=said):
        clip.recut("box")


def test_context_crops_that_are_too_small_are_refused_with_the_remedy(make_sample: MakeSample) -> None:
    clip = clip_of(with_boxes(make_sample("a"), PLACES * 0.6, side_px=96))
    said = r"box. .* at 72 px, below the 96 px .*preprocess\.crop to box, or preprocess\.context_px to at least 135"
    with pytest.raises(UserError, match=said):
        clip.recut("box")


def test_a_clip_is_resized_or_cut_again_in_another_size(make_sample: MakeSample) -> None:
    sample = with_boxes(make_sample("a"), PLACES, side_px=192)
    mjpeg, sizes = encode_mjpeg(np.broadcast_to(np.arange(128, dtype=np.uint8)[:, None], (4, 128, 128, 3)), 100)
    stored = clip_of(
        replace(sample, frames_mjpeg=mjpeg, frame_bytes=sizes, crop_px=128, crop_in_context=np.tile(SQUARE, (4, 1)))
    )
    assert (stored.crop_px, stored.recut("square", 128) is stored) == (128, True)
    small = stored.recut("square")
    assert (small.crop_px, small.cut_px, small.crops([2]).shape) == (96, 128, (1, 96, 96, 3))
    assert ends_of(small.crops([2])[0]) == pytest.approx((0, 128), abs=1)
    large = stored.recut("square", 160)
    assert (large.crop_px, large.cut_px, large.crops([2]).shape) == (160, 160, (1, 160, 160, 3))
    assert large.crops([2])[0].mean(axis=(0, 2))[[0, -1]] == pytest.approx((16.5, 175.5), abs=1)
    again = large.recut("square")
    assert (again.cut_px, again.crops([2]).shape) == (160, (1, 96, 96, 3))
    said = r"a: the crops have 128 px, but the model needs 192. .* at 160 px.*train_gan\.face_px to 192, .* least 269"
    with pytest.raises(UserError, match=said):
        stored.recut("square", 192)


def test_only_another_size_than_96_is_named(make_sample: MakeSample) -> None:
    described = [json.loads(_members(replace(make_sample("a"), crop_px=size))["json"]) for size in (96, 128)]
    assert ["crop_px" in description for description in described] == [False, True]
    assert described[1] == described[0] | {"crop_px": 128}
