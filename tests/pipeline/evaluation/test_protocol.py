from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import DataError, UserError
from pipeline.core.seeded_order import seeded_order
from pipeline.evaluation.protocol import (
    Pair,
    clips_sha256,
    derange,
    pairing_sha256,
    read_pairs,
    self_paired,
    spread_frames,
    with_digest,
)
from pipeline.shards.clip import Clip

PINNED_ORDER = ["s1/c4", "s1/c2", "s1/c3", "s1/c1", "s1/c5", "s1/c0"]
PINNED_SHA256 = "816bbd2154ee8629260dd9410f5cc2e5758525f2faac26be2a29f5f426765d93"

clip_ids = st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=60, unique=True)


@pytest.mark.slow
@given(clip_ids, st.integers(0, 2**32))
def test_no_clip_gets_its_own_audio_and_every_audio_is_used_once(ids: list[str], seed: int) -> None:
    pairs = derange(ids, seed)
    assert all(pair.video_id != pair.audio_id for pair in pairs)
    assert sorted(pair.video_id for pair in pairs) == sorted(ids)
    assert sorted(pair.audio_id for pair in pairs) == sorted(ids)


@given(clip_ids, st.integers(0, 1000), st.randoms())
def test_pairing_does_not_depend_on_the_input_order(ids: list[str], seed: int, random: Random) -> None:
    shuffled = random.sample(ids, len(ids))
    assert derange(shuffled, seed) == derange(ids, seed)


@given(clip_ids, st.integers(0, 1000), st.integers(2, 60))
def test_max_clips_keeps_the_first_videos_and_still_deranges(ids: list[str], seed: int, limit: int) -> None:
    pairs = derange(ids, seed, limit)
    assert [pair.video_id for pair in pairs] == seeded_order(ids, seed)[:limit]
    assert sorted(pair.audio_id for pair in pairs) == sorted(pair.video_id for pair in pairs)
    assert all(pair.video_id != pair.audio_id for pair in pairs)


def test_pairing_is_pinned() -> None:
    """A change here makes every published figure incomparable: raise PROTOCOL_ID with it."""
    pairs = derange([f"s1/c{k}" for k in range(6)], seed=1234)
    assert [pair.video_id for pair in pairs] == PINNED_ORDER
    lines = "".join(f"{pair.audio_id} {pair.video_id}\n" for pair in pairs)
    assert pairing_sha256(pairs) == hashlib.sha256(lines.encode()).hexdigest() == PINNED_SHA256


def test_another_seed_gives_another_pairing() -> None:
    ids = [f"c{k}" for k in range(20)]
    assert pairing_sha256(derange(ids, 1)) != pairing_sha256(derange(ids, 2))


def test_a_list_in_the_layout_of_wav2lips(tmp_path: Path) -> None:
    """Audio first; a video may stand in several pairs; one clip that is gone is a failure later, not an error."""
    held_out = [f"p/{k}" for k in range(30)]
    lines = [f"p/{k + 1} p/{k}" for k in range(29)] + ["p/7 p/0", "", "p/3 p/gone"]
    path = tmp_path / "pairs.txt"
    path.write_text("\n".join(lines))
    pairs = read_pairs(path, held_out)
    assert (pairs[0], pairs[-2], pairs[-1]) == (Pair("p/0", "p/1"), Pair("p/0", "p/7"), Pair("p/gone", "p/3"))
    assert len(pairs) == 31 and read_pairs(path, held_out, max_pairs=2) == pairs[:2]
    assert [pair.video_id for pair in self_paired(pairs)] == [*held_out[:29], "p/gone"]


def test_ids_with_spaces_are_parted_by_a_tab(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text("holiday/take 1\tholiday/take 2\na b\nb\ta \n\t\n")
    pairs = read_pairs(path, ["holiday/take 1", "holiday/take 2", "a", "b"])
    assert pairs == [Pair("holiday/take 2", "holiday/take 1"), Pair("b", "a"), Pair("a", "b")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b\nc\n", r"line 2: 'c' is not two clip ids"),
        ("a\tb\nc d e\n", r"line 2: 'c d e' is not two .*; if an id contains a space, separate the two with a tab"),
        ("a b\na b\n", r"lists a b 2 times; remove the repeats"),
        ("\n", r"pairs\.txt \(params\.yaml: evaluate\.pairs\) has no pair; write one `audio_id video_id` a line"),
        (
            "x b\ny a\n",
            r"names 2 clips that are not in the split test; the first is x; use a list of this corpus, "
            r"with ids such as a",
        ),
    ],
)
def test_lists_that_cannot_be_used(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_pairs(path, ["a", "b", "c"])


def test_a_pair_of_two_clips_that_are_not_held_out_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text("x y\n" + "".join(f"c{number} d{number}\n" for number in range(9)))
    held_out = [f"{letter}{number}" for letter in "cd" for number in range(9)]
    assert len(read_pairs(path, held_out)) == 10


def test_a_list_is_utf8_with_or_without_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text("é b\n", encoding="utf-8-sig")
    assert read_pairs(path, ["é", "b"]) == [Pair("b", "é")]
    path.write_text("é b\n", encoding="latin-1")
    with pytest.raises(UserError, match=r"pairs\.txt \(params\.yaml: evaluate\.pairs\) is not text in UTF-8"):
        read_pairs(path, ["é", "b"])


def test_a_folder_is_no_list(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"evaluate\.pairs\) is a folder; it must be a text file of `audio_id video_id`"
    ):
        read_pairs(tmp_path, ["a", "b"])


def test_real_keeps_the_videos_and_their_order() -> None:
    pairs = [Pair("a", "b"), Pair("b", "a")]
    assert self_paired(pairs) == [Pair("a", "a"), Pair("b", "b")]


@pytest.mark.parametrize(
    ("ids", "limit", "kind", "message"),
    [
        (["a"], 0, DataError, "at least 2"),
        (["a", "b"], 1, DataError, "at least 2"),
        (["a", "a"], 0, ValueError, "twice"),  # an index has no clip twice
    ],
)
def test_refuses_what_cannot_be_paired(ids: list[str], limit: int, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        derange(ids, 0, limit)


def test_every_nth_frame_where_they_fit() -> None:
    assert spread_frames({"a": 11, "b": 5}, 5, 100) == {"a": [0, 5, 10], "b": [0]}


@given(
    st.dictionaries(st.text(min_size=1, max_size=3), st.integers(6, 80), min_size=1, max_size=20),
    st.integers(1, 10),
    st.integers(2, 100),
)
def test_thinned_frames_are_spread_and_counted(lengths: dict[str, int], every: int, limit: int) -> None:
    frames = spread_frames(lengths, every, limit)
    available = sum(len(range(0, n, every)) for n in lengths.values())
    assert sum(map(len, frames.values())) == min(limit, available)
    for clip_id, chosen in frames.items():
        assert chosen == sorted(set(chosen))
        assert all(frame % every == 0 and frame < lengths[clip_id] for frame in chosen)


def test_thinning_takes_about_as_many_of_every_clip() -> None:
    counts = [len(chosen) for chosen in spread_frames(dict.fromkeys(map(str, range(20)), 75), 5, 130).values()]
    assert sum(counts) == 130 and set(counts) <= {6, 7}


@pytest.mark.parametrize("part", ["frames", "context"])
def test_other_pictures_are_other_clips(clips: dict[str, Clip], part: str) -> None:
    clip = clips["a/1"]
    changed = copy.copy(clip)
    content, sizes = clip._pictures[part]
    changed._pictures = clip._pictures | {part: (content[:-1] + b"?", sizes)}
    assert clips_sha256([changed]) != clips_sha256([clip]) == clips_sha256([copy.copy(clip)])


def test_digest_depends_on_content_not_on_key_order() -> None:
    one = with_digest({"a": 1, "b": [2.5, "x"]})
    assert one == with_digest({"b": [2.5, "x"], "a": 1})
    assert one["sha256"] != with_digest({"a": 1, "b": [2.5, "y"]})["sha256"]
    assert one["sha256"] == hashlib.sha256(b'{"a": 1, "b": [2.5, "x"]}').hexdigest()
