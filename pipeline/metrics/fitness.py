"""Whether an evaluator can judge a set of clips, from where it places the real videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.core.choices import JUDGE_NAMES

Row = Mapping[str, Any]
TRUSTED_SHARE = 0.8
"""Least share of real videos within one frame; with a lower one the evaluator does not measure sync."""
MIN_PLACED_VIDEOS = 8
"""With fewer real videos no evaluator counts as able to judge, and texts give counts, not percentages."""
_NAMES = {"trained": "the evaluator trained in this checkout", "official": "the evaluator syncnet_v2"}


@dataclass(frozen=True)
class Fitness:
    """Whether an evaluator can judge the clips (None: unknown), and a text that says so with the reason."""

    is_fit: bool | None
    text: str

    @property
    def is_unfit(self) -> bool:
        """Whether the evaluator cannot judge the clips. Reports then state no result about sync."""
        return self.is_fit is False


@dataclass(frozen=True)
class RealVideos:
    """How many real videos the evaluator placed, and how many of them within one frame of sync."""

    num: int
    num_near: int

    @classmethod
    def placed_at(cls, offsets_frames: Sequence[int]) -> RealVideos:
        """The real videos with these offsets in frames."""
        return cls(len(offsets_frames), sum(abs(offset) <= 1 for offset in offsets_frames))

    def figures(self, evaluator: str, none_placed: str) -> dict[str, Any]:
        """The fitness for a result's JSON: ``is_fit`` (None: unknown), ``text`` and the numbers behind it.

        ``evaluator``: its name in the protocol. ``none_placed``: the reason if no real video was placed.
        """
        share = self.num_near / self.num if self.num else None
        if share is None:
            fitness = unknown_fitness(evaluator, none_placed)
        else:
            fitness = fitness_of_share(share, evaluator, self.num)
        numbers = {"num_real_videos": self.num, "num_within_one_frame": self.num_near}
        return {"is_fit": fitness.is_fit, "text": fitness.text, **numbers}


def fitness_of_rows(by_name: Mapping[str, Row], evaluator: str) -> Fitness:
    """Whether the evaluator can judge the clips of a comparison.

    It cannot if too few real videos are placed in sync, or if they score worse than the same videos with the audio of
    another clip. ``by_name``: row by variant. ``evaluator``: its name in the protocol.
    """
    real, copy = by_name.get("real"), by_name.get("copy_input")
    if real is None:
        return unknown_fitness(evaluator, "the comparison has no row `real`")
    share, num = real["within_one_frame"], real["num_clips"]
    if share < TRUSTED_SHARE or copy is None:
        return fitness_of_share(share, evaluator, num)
    for label, key, sign in (("LSE-D", "lse_d", -1), ("LSE-C", "lse_c", 1)):
        if sign * copy[key] > sign * real[key]:
            return _unfit(
                evaluator,
                f"real videos have a worse {label} ({real[key]:.3f}) than the same videos with the audio of another "
                f"clip ({copy[key]:.3f})",
            )
    return _fit_or_unknown(
        evaluator,
        num,
        f"it places {_near(share, '.0%', num)}, and LSE-C is {real['lse_c']:.3f} for `real` and "
        f"{copy['lse_c']:.3f} for `copy_input`, the same videos with the audio of another clip",
    )


def fitness_of_share(share: float, evaluator: str, num: int) -> Fitness:
    """Whether the evaluator can judge clips, if it places ``share`` of ``num`` real videos within one frame of sync.

    Unknown for fewer than `MIN_PLACED_VIDEOS`, unless the share is too low. ``share``: 0 to 1. ``evaluator``: its name
    in the protocol.
    """
    if share < TRUSTED_SHARE:
        return _unfit(evaluator, f"it places only {_near(share, '.1%', num)}")  # .0% would round 79.6% to 80%
    return _fit_or_unknown(evaluator, num, f"it places {_near(share, '.0%', num)}")


def unknown_fitness(evaluator: str, reason: str) -> Fitness:
    """The fitness of an evaluator that placed no real video, or too few. ``reason``: why, as a clause."""
    return Fitness(None, f"Whether {_named(evaluator)} can judge these clips is unknown: {reason}.")


def _near(share: float, form: str, num: int) -> str:
    needed = f"at least {TRUSTED_SHARE:.0%} are required"
    if num < MIN_PLACED_VIDEOS:
        return f"{round(share * num)} of {num} real videos within one frame of sync ({needed})"
    return f"{share:{form}} of the real videos within one frame of sync ({needed})"


def _fit_or_unknown(evaluator: str, num: int, reason: str) -> Fitness:
    if num < MIN_PLACED_VIDEOS:
        return unknown_fitness(evaluator, f"{reason}; fewer than {MIN_PLACED_VIDEOS} real videos are too few to say")
    return Fitness(True, f"{_capitalised(_named(evaluator))} can judge these clips: {reason}.")


def _unfit(evaluator: str, reason: str) -> Fitness:
    verdict = f"{_capitalised(_named(evaluator))} cannot judge these clips: {reason}."
    return Fitness(False, f"{verdict} Do not use its LSE values. {_remedy(evaluator)}")


def _named(evaluator: str) -> str:
    return _NAMES.get(evaluator, f"the evaluator {evaluator}")


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _remedy(evaluator: str) -> str:
    """What to do about an evaluator that cannot judge the clips."""
    if evaluator == "trained":
        return (
            "In params.yaml, raise train_evaluator.num_steps, use more clips, or set evaluate.lse.weights to judge-1 "
            "or to the path of syncnet_v2.model."
        )
    other = "the path of syncnet_v2.model" if evaluator in JUDGE_NAMES else "judge-1"
    return (
        "In params.yaml, set evaluate.lse.weights to null, which trains an evaluator on the clips of this checkout, or "
        f"to {other}. If neither helps, check that the clips are in sync."
    )
