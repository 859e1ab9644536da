"""Whether the evaluator can judge the clips: the sentence, its figures, and what to do if it cannot."""

from __future__ import annotations

import pytest

from pipeline.metrics.fitness import RealVideos, fitness_of_rows, fitness_of_share, unknown_fitness
from tests.support.comparison_rows import row


def test_a_fit_evaluator_is_stated_with_its_figures() -> None:
    rows = {"real": row("real", 6.0, 6.0), "copy_input": row("copy_input", 9.0, 1.0)}
    fitness = fitness_of_rows(rows, "judge-1")
    assert fitness.is_fit is True and not fitness.is_unfit
    assert fitness.text == (
        "The evaluator judge-1 can judge these clips: it places 90% of the real videos within one frame of sync (at "
        "least 80% are required), and LSE-C is 6.000 for `real` and 1.000 for `copy_input`, the same videos with the "
        "audio of another clip."
    )


@pytest.mark.parametrize(("share", "is_fit"), [(0.796, False), (0.8, True), (1.0, True), (0.0, False)])
def test_the_threshold_is_four_fifths_of_the_real_videos(share: float, is_fit: bool) -> None:
    fitness = fitness_of_share(share, "trained", 44)
    assert (fitness.is_fit, fitness.is_unfit) == (is_fit, not is_fit)
    verdict = "can judge" if is_fit else "cannot judge"
    assert fitness.text.startswith(f"The evaluator trained in this checkout {verdict} these clips: it places ")
    assert ("Do not use its LSE values. In params.yaml, " in fitness.text) is not is_fit


@pytest.mark.parametrize(("num", "num_near", "is_fit"), [(1, 1, None), (7, 6, None), (1, 0, False), (8, 8, True)])
def test_the_number_of_few_videos_is_stated(num: int, num_near: int, is_fit: bool | None) -> None:
    figures = RealVideos(num, num_near).figures("judge-1", "none")
    assert figures["is_fit"] is is_fit
    counted = f"{num_near} of {num} real videos within one frame of sync (at least 80% are required)"
    assert (counted in figures["text"]) is (num < 8)
    assert ("fewer than 8 real videos are too few to say" in figures["text"]) is (is_fit is None)


def test_a_comparison_of_few_clips_states_their_number() -> None:
    rows = {"real": row("real", 6.0, 6.0) | {"num_clips": 1, "within_one_frame": 1.0}}
    rows["copy_input"] = row("copy_input", 9.0, 1.0)
    fitness = fitness_of_rows(rows, "judge-1")
    assert fitness.is_fit is None
    assert "is unknown: it places 1 of 1 real videos" in fitness.text


def test_a_share_just_below_the_threshold_is_not_rounded_to_it() -> None:
    assert "only 79.6% of the real videos within one frame of sync (at least 80% are required)" in (
        fitness_of_share(0.796, "trained", 44).text
    )


@pytest.mark.parametrize(
    ("copy", "said"),
    [
        (
            (6.4, 1.0),
            "real videos have a worse LSE-D (7.000) than the same videos with the audio of another clip (6.400)",
        ),
        (
            (9.0, 6.5),
            "real videos have a worse LSE-C (6.000) than the same videos with the audio of another clip (6.500)",
        ),
    ],
)
def test_real_videos_must_not_score_worse_than_with_foreign_audio(copy: tuple[float, float], said: str) -> None:
    rows = {"real": row("real", 7.0, 6.0), "copy_input": row("copy_input", *copy)}
    fitness = fitness_of_rows(rows, "official")
    assert fitness.is_unfit
    assert fitness.text.startswith(f"The evaluator syncnet_v2 cannot judge these clips: {said}. Do not use its LSE")


@pytest.mark.parametrize(
    ("evaluator", "remedy"),
    [
        ("trained", "raise train_evaluator.num_steps, use more clips, or set evaluate.lse.weights to judge-1"),
        (
            "judge-1",
            "set evaluate.lse.weights to null, which trains an evaluator on the clips of this checkout, or to the",
        ),
        (
            "official",
            "set evaluate.lse.weights to null, which trains an evaluator on the clips of this checkout, or to j",
        ),
    ],
)
def test_the_remedy_depends_on_the_evaluator(evaluator: str, remedy: str) -> None:
    assert remedy in fitness_of_share(0.3, evaluator, 44).text


def test_without_real_videos_the_fitness_is_unknown() -> None:
    fitness = fitness_of_rows({"copy_input": row("copy_input", 9.0, 1.0)}, "judge-1")
    assert fitness == unknown_fitness("judge-1", "the comparison has no row `real`")
    assert fitness.is_fit is None and not fitness.is_unfit
    assert fitness.text == (
        "Whether the evaluator judge-1 can judge these clips is unknown: the comparison has no row `real`."
    )
    alone = fitness_of_rows({"real": row("real", 6.0, 6.0)}, "judge-1")
    assert alone == fitness_of_share(0.9, "judge-1", 44)
