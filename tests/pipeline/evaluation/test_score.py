from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.generator import Generator, GeneratorConfig
from models.lse_syncnet import LseSyncNet
from pipeline.core.errors import DataError
from pipeline.evaluation.clip_rows import clips_csv
from pipeline.evaluation.generate import CropGenerator
from pipeline.evaluation.networks import Networks
from pipeline.evaluation.protocol import Pair, clips_sha256, derange, self_paired, spread_frames
from pipeline.evaluation.score import (
    PairResult,
    VariantScore,
    distances,
    num_paired_frames,
    render,
    score_summary,
    score_variant,
)
from pipeline.evaluation.setup import Evaluation
from pipeline.features.alignment import num_samples_of
from pipeline.inference.generator import MouthGenerator
from pipeline.inference.generator_inputs import AudioSource
from pipeline.inference.lse_evaluator import Evaluator
from pipeline.metrics.lips import LipScore
from pipeline.metrics.lse import LseScore, embed_clip, lse_scores
from pipeline.params import load_params
from pipeline.shards.clip import Clip

CPU = torch.device("cpu")
Images = NDArray[np.uint8]
Clips = dict[str, Clip]


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    torch.manual_seed(0)
    return Evaluator(LseSyncNet(0.03).eval(), CPU, "trained", "0" * 64, 0.03)


@pytest.fixture(scope="module")
def generate() -> CropGenerator:
    torch.manual_seed(1)
    return CropGenerator(MouthGenerator(Generator(GeneratorConfig(width=0.03, lstm_hidden=8)), "cpu", "fp32"))


def score(clips: Clips, pairs: list[Pair], embed: Any, generate: Any = None, **more: Any) -> Any:
    lengths = {p.video_id: num_paired_frames(clips[p.video_id], clips[p.audio_id]) for p in pairs}
    return score_variant(
        clips,
        pairs,
        generate=generate,
        embed=embed,
        fid_frames=spread_frames(lengths, 3, 1000),
        vshift_frames=15,
        **more,
    )


def test_length_is_the_shorter_of_video_and_audio(clips: Clips) -> None:
    assert num_paired_frames(clips["a/2"], clips["c/1"]) == 12
    assert num_paired_frames(clips["c/1"], clips["a/2"]) == 12
    crops, shown, context = render(clips["a/2"], clips["c/1"], None)
    assert len(crops) == len(shown) == len(context) == 12


def test_bounds_leave_the_video_as_it_is(clips: Clips) -> None:
    crops, shown, context = render(clips["a/1"], clips["b/1"], None)
    assert shown is crops
    assert np.array_equal(context, clips["a/1"].context())


def test_generated_crops_are_pasted_whole_and_nothing_else_changes(clips: Clips) -> None:
    _, _, context = render(clips["a/1"], clips["b/1"], lambda crops, mel: np.full_like(crops, 9))
    original = clips["a/1"].context()
    inside = np.zeros((160, 160), bool)
    inside[30:150, 20:140] = True
    assert (context[:, inside] == 9).all()
    assert np.array_equal(context[:, ~inside], original[:, ~inside])


def test_every_variant_goes_through_the_same_code(
    clips: Clips, evaluator: Evaluator, generate: CropGenerator, block_means: Callable[..., Any]
) -> None:
    unseen = derange(list(clips), seed=7)
    asked: list[int] = []

    def remembered(images: Images) -> NDArray[np.float32]:
        asked.append(len(images))
        return block_means(images)

    rows = {}
    for name, pairs, function in (
        ("real", self_paired(unseen), None),
        ("copy_input", unseen, None),
        ("lstm_cbam", unseen, generate),
    ):
        result = score(clips, pairs, evaluator, function)
        rows[name] = score_summary(result)
        rows[name] |= distances(result.real_crops, result.generated_crops, block_means, remembered, seed=0)
        assert len(result.real_crops) == len(result.generated_crops) == asked[-1] > 10
    for row in rows.values():
        assert row["num_clips"] == 4 and row["num_failed"] == 0 and row["failures"] == []
        assert all(np.isfinite(row[key]) for key in ("lse_d", "lse_c", "fid", "jitter_ratio"))
        assert sum(row["offset_histogram"].values()) == 4
        assert list(row["offset_histogram"]) == [str(k) for k in range(-15, 16)]
    assert rows["real"]["fid"] == pytest.approx(0, abs=1e-6) and rows["real"]["jitter_ratio"] == 1
    assert rows["copy_input"]["fid"] == pytest.approx(0, abs=1e-6) and rows["copy_input"]["jitter_ratio"] == 1
    assert rows["lstm_cbam"]["fid"] > 1
    assert rows["lstm_cbam"]["lse_d"] != rows["copy_input"]["lse_d"] != rows["real"]["lse_d"]


def test_scores_are_the_metrics_of_the_rendered_frames(
    clips: Clips, evaluator: Evaluator, generate: CropGenerator
) -> None:
    pairs = [Pair("a/2", "b/1")]
    (item,) = score(clips, pairs, evaluator, generate).results
    _, _, context = render(clips["a/2"], clips["b/1"], generate)
    assert item.lse == lse_scores(*embed_clip(evaluator.network, context, clips["b/1"].audio, CPU))
    assert item.num_frames == 16


def test_lip_metrics_are_of_the_rendered_frames_and_the_paired_sound(
    clips: Clips, evaluator: Evaluator, generate: CropGenerator
) -> None:
    pairs = [Pair("a/2", "b/1"), Pair("b/1", "a/1")]
    seen: list[tuple[Images, NDArray[np.int16]]] = []

    def score_lips(context: Images, audio: NDArray[np.int16]) -> LipScore | None:
        seen.append((context, audio))
        return LipScore(0.5, 0.25, 4) if len(seen) == 1 else None

    result = score(clips, pairs, evaluator, generate, score_lips=score_lips)
    assert np.array_equal(seen[0][0], render(clips["a/2"], clips["b/1"], generate)[2])
    assert [audio is clips[pair.audio_id].audio for pair, (_, audio) in zip(pairs, seen, strict=True)] == [True, True]
    row = score_summary(result)
    assert (row["opening_correlation"], row["pause_motion_px"]) == (0.5, 0.25)
    assert (row["num_opening_clips"], row["num_pause_clips"]) == (1, 1)
    lines = list(csv.DictReader(io.StringIO(clips_csv(result))))
    keys = ("opening_correlation", "pause_motion_px", "num_pause_steps")
    assert [[line[key] for key in keys] for line in lines] == [["0.500000", "0.250000", "4"], ["", "", ""]]


def test_failed_clips_are_counted_and_listed_with_reasons(clips: Clips, evaluator: Evaluator) -> None:
    pairs = derange(list(clips), seed=7)
    victim = pairs[1].video_id

    def generate(crops: Images, voice: AudioSource) -> Images:
        if np.array_equal(crops[0], clips[victim].crops([0])[0]):
            raise DataError("the generator gave values that are not finite")
        return crops

    result = score(clips, pairs, evaluator, generate)
    row = score_summary(result)
    assert (row["num_clips"], row["num_failed"]) == (3, 1)
    assert row["failures"] == [{"clip_id": victim, "reason": "the generator gave values that are not finite"}]
    lines = list(csv.DictReader(io.StringIO(clips_csv(result))))
    assert [line["clip_id"] for line in lines] == [pair.video_id for pair in pairs]
    assert [line["audio_clip_id"] for line in lines] == [pair.audio_id for pair in pairs]
    assert [line["status"] for line in lines] == ["ok", "failed", "ok", "ok"]
    assert lines[1]["lse_d"] == "" and "not finite" in lines[1]["reason"]
    means = [float(line["lse_d"]) for line in lines if line["status"] == "ok"]
    assert row["lse_d"] == pytest.approx(np.mean(means), abs=1e-5)


def test_a_clip_too_short_for_lse_fails_alone(clips: Clips, evaluator: Evaluator) -> None:
    short = clips["c/1"]
    short.num_samples = num_samples_of(5)
    result = score(clips, [Pair("a/1", "c/1"), Pair("b/1", "a/1")], evaluator)
    assert [item.lse is None for item in result.results] == [True, False]
    assert "LSE needs" in result.failures[0]["reason"]


def test_a_video_whose_listed_voice_is_gone_fails_in_the_row_of_real_videos_too(
    clips: Clips, evaluator: Evaluator
) -> None:
    unseen = [Pair("a/1", "b/1"), Pair("c/1", "gone"), Pair("a/1", "c/1")]
    reasons = (
        "gone is not among the held-out clips",
        "none of the audio clips that the list pairs with it is held out",
    )
    for pairs, reason in zip((unseen, self_paired(unseen)), reasons, strict=True):
        result = score_variant(
            clips, pairs, generate=None, embed=evaluator, fid_frames={"a/1": [0, 3]}, vshift_frames=15
        )
        assert {item.pair.video_id for item, _ in result.scored} == {"a/1"}
        assert result.failures == [{"clip_id": "c/1", "reason": reason}]


def test_no_score_at_all_is_an_error_with_the_commonest_reason(clips: Clips) -> None:
    def embed(context: Images, audio: NDArray[np.int16]) -> Any:
        raise DataError("no face")

    with pytest.raises(DataError, match="none of 4 clips could be scored; 4 of them: no face"):
        score_summary(score(clips, derange(list(clips), 1), embed))


def test_clips_at_the_limit_of_the_search_and_short_ones_are_counted() -> None:
    """Offsets of 15, 15, -15, 0 and 1: the mean of 3.2 says nothing, the median is 1, and three are at the limit."""
    results = []
    for number, (offset, num_windows) in enumerate([(15, 31), (15, 30), (-15, 80), (0, 12), (1, 31)]):
        distances = [9.0] * 31
        distances[15 - offset] = 8.0
        lse = LseScore(8.0, 1.0, offset, tuple(distances), num_windows, 8.0, 1.0)
        results.append(PairResult(Pair(f"c{number}", "x"), lse=lse, real_mouth_jitter=1.0))
    empty = np.empty((0, 96, 96, 3), np.uint8)
    row = score_summary(VariantScore(tuple(results), empty, empty))
    assert (row["offset_mean_frames"], row["offset_median_frames"]) == (pytest.approx(3.2), 1.0)
    assert (row["share_at_limit"], row["within_one_frame"]) == (0.6, 0.4)
    assert row["num_short_clips"] == 2  # of 30 and 12 windows, for 31 offsets


def test_known_offsets_are_counted(clips: Clips) -> None:
    """Audio embeddings that repeat the lips' two windows later: the audio lags, offset -2."""

    def embed(context: Images, audio: NDArray[np.int16]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        track = np.random.default_rng(len(context)).normal(size=(len(context), 8)).astype(np.float32)
        return track[2:], track[:-2]

    row = score_summary(score(clips, self_paired(derange(list(clips), 1)), embed))
    assert row["offset_histogram"]["-2"] == 4
    assert row["offset_mean_frames"] == -2 and row["within_one_frame"] == 0


def test_digest_of_the_clips_sees_their_sound(clips: Clips) -> None:
    chosen = [clips["a/1"], clips["b/1"]]
    before = clips_sha256(chosen)
    assert clips_sha256(chosen) == before != clips_sha256(chosen[::-1])
    clips["b/1"].audio[100] += 1
    assert clips_sha256(chosen) != before


def test_the_protocol_sees_the_sound_of_a_clip_that_is_only_heard(
    clips: Clips, evaluator: Evaluator, repo_root: Path, tmp_path: Path
) -> None:
    params = load_params(repo_root / "params.yaml").evaluate
    networks = Networks(params, 0, evaluator, tmp_path, "0" * 64, tmp_path, CPU)

    def digest(pairs: list[Pair]) -> str:
        return str(Evaluation(networks, clips, pairs).describe_protocol()["clips_sha256"])

    ring, listed = [Pair("a/1", "b/1"), Pair("b/1", "a/1")], [Pair("a/1", "b/1"), Pair("a/1", "gone")]
    assert digest(ring) == clips_sha256([clips["a/1"], clips["b/1"]])
    before = digest(listed)
    clips["b/1"].audio[100] += 1
    assert digest(listed) != before


@pytest.mark.parametrize(
    ("listed", "pairing"),
    [
        (None, "each clip with the audio of the next clip of a seeded ring; real keeps its own"),
        (Path("pairs.txt"), "a list of pairs; real keeps its own audio"),
    ],
)
def test_the_protocol_states_where_the_pairs_come_from(
    clips: Clips, evaluator: Evaluator, repo_root: Path, tmp_path: Path, listed: Path | None, pairing: str
) -> None:
    params = load_params(repo_root / "params.yaml").evaluate.model_copy(update={"pairs": listed})
    networks = Networks(params, 0, evaluator, tmp_path, "0" * 64, tmp_path, CPU)
    assert Evaluation(networks, clips, [Pair("a/1", "b/1")]).describe_protocol()["pairing"] == pairing
