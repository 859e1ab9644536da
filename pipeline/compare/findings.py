"""What a comparison shows and what its figures cannot carry, in whole sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from pipeline.compare.differences import MEASURES, Differences, is_clear
from pipeline.compare.seeds import averaged
from pipeline.core.choices import Bound
from pipeline.core.versions import differing

Row = Mapping[str, Any]
BOUNDS = get_args(Bound)
RIVALS = ("wav2lip", "lipgan", "speech2vid")
"""The systems that the paper's Table 1 compares its network with."""
MIN_FID_IMAGES = 2048
"""FID estimates a 2048-d covariance (Heusel et al. 2017)."""
STILL_MOUTH = 0.05
"""A generator whose jitter is below this share of real video's draws a mouth that stands still."""
TRUSTED_SHARE = 0.8
"""An evaluator that places fewer real videos within one frame is called weak."""


def findings(rows: Sequence[Row], differences: Differences) -> list[str]:
    """What the rows say, best first, in whole sentences: nothing of sync where the evaluator cannot tell.

    ``differences``: as ``leads.differences`` gives them; a lead whose interval holds 0 is called not established.
    """
    by_name = averaged(rows)
    generators = [row for name, row in by_name.items() if name not in BOUNDS]
    if unfit := unfit_judge(by_name):
        return [unfit, *_best_generators(generators, [("FID", "fid", min)])]
    best = min(by_name.values(), key=lambda row: row["lse_d"])
    real = by_name.get("real")
    lines = [
        _real_behind(by_name, generators, differences),
        f"`{best['variant']}` has the best LSE-D of all rows ({best['lse_d']:.3f}).",
    ]
    if real and best["variant"] != "real":
        lines.append(
            f"`real` is not the best: real videos score {real['lse_d']:.3f}. A generator below that has learnt what "
            "the evaluator likes, or the evaluator is too weak to prefer real speech. Do not read it as better lips."
        )
    figures = [("LSE-D", "lse_d", min), ("LSE-C", "lse_c", max), ("FID", "fid", min)]
    lines += _best_generators(generators, figures)
    lines += [
        _order(by_name, differences),
        _against_rivals(by_name, differences),
        _against_copy(by_name, generators, differences),
    ]
    return [line for line in lines if line]


def unfit_judge(by_name: Mapping[str, Row]) -> str | None:
    """Why no figure of sync means anything here: real speech is not recognised, or less than foreign speech."""
    real, copy = by_name.get("real"), by_name.get("copy_input")
    remedy = "Read nothing into LSE here, and train the evaluator longer or on more clips."
    if real and real["within_one_frame"] < TRUSTED_SHARE:
        return (
            f"The evaluator places only {real['within_one_frame']:.0%} of the real videos within one frame of sync: "
            f"it cannot hear whether lips fit. {remedy}"
        )
    if real and copy and copy["lse_d"] < real["lse_d"]:
        return (
            f"Real videos have a worse LSE-D ({real['lse_d']:.3f}) than the same videos with foreign audio "
            f"({copy['lse_d']:.3f}): the evaluator cannot hear whether lips fit. {remedy}"
        )
    return None


def _best_generators(generators: Sequence[Row], figures: Sequence[tuple[str, str, Callable[..., Row]]]) -> list[str]:
    """Which generator leads in each of ``figures``: label, key, and min or max."""
    if not generators:
        return []
    leaders = [(label, key, pick(generators, key=lambda row, key=key: row[key])) for label, key, pick in figures]
    figures_of: dict[str, list[str]] = {}
    for label, key, row in leaders:
        figures_of.setdefault(row["variant"], []).append(f"{label} ({row[key]:.3f})")
    said = "; ".join(f"`{name}` on {', '.join(of_one)}" for name, of_one in figures_of.items())
    return [f"Best generator: {said}."]


def _real_behind(by_name: Mapping[str, Row], generators: Sequence[Row], differences: Differences) -> str | None:
    real = by_name.get("real")
    if real is None:
        return None
    ahead = [
        row["variant"]
        for row in generators
        if row["lse_c"] > real["lse_c"] and is_clear(differences, row["variant"], "real", "lse_c")
    ]
    if not ahead:
        return None
    return (
        f"`real` has a lower LSE-C ({real['lse_c']:.3f}) than {_listed(ahead)}: a measure by which real speech is "
        "worse is at fault."
    )


LSE = tuple((label, key, MEASURES[key]) for label, key in (("LSE-D", "lse_d"), ("LSE-C", "lse_c")))
"""Label, key, and the sign that makes larger better."""


def _order(by_name: Mapping[str, Row], differences: Differences) -> str | None:
    """Whether the paper's claim, none < {LSTM, CBAM} < both, holds here on LSE-D and LSE-C, and how surely."""
    names = ("no_lstm_cbam", "no_lstm", "no_cbam", "lstm_cbam")
    if not all(name in by_name for name in names):
        return None
    said, doubts = [], ""
    for label, key, sign in LSE:
        steps = [(worse, better) for worse in names[:1] for better in names[1:3]]
        steps += [(worse, better) for worse in names[1:3] for better in names[3:]]
        broken = [
            f"`{worse}` is not behind `{better}`"
            for worse, better in steps
            if sign * by_name[worse][key] >= sign * by_name[better][key]
        ]
        said.append(f"does not hold on {label} ({', '.join(broken)})" if broken else f"holds on {label}")
        close = [
            f"`{worse}` and `{better}`" for worse, better in steps if not is_clear(differences, better, worse, key)
        ]
        if close and not broken:
            doubts += f" On {label} it is not established: the difference may be 0 between {', '.join(close)}."
    seeds = _seeds([by_name[name] for name in names])
    return f"The paper's order, neither < LSTM or CBAM alone < both, {' and '.join(said)} ({seeds}).{doubts}"


def _against_rivals(by_name: Mapping[str, Row], differences: Differences) -> str | None:
    """Whether the paper's network is ahead of the systems its Table 1 compares it with, and how surely."""
    whole = by_name.get("lstm_cbam")
    rivals = [by_name[name] for name in RIVALS if name in by_name]
    if whole is None or not rivals:
        return None
    said, doubts = [], ""
    for label, key, sign in (*LSE, ("FID", "fid", -1)):
        ahead = [row for row in rivals if sign * whole[key] > sign * row[key]]
        of_whom = "all" if len(ahead) == len(rivals) else _listed([row["variant"] for row in ahead]) or "none"
        said.append(f"on {label} ahead of {of_whom}")
        close = [
            row["variant"]
            for row in ahead
            if key in MEASURES and not is_clear(differences, "lstm_cbam", row["variant"], key)
        ]
        if close:
            doubts += f" On {label} its lead over {_listed(close)} is not established: it may be 0."
    text = f"`lstm_cbam` against the rivals of the paper's Table 1 ({_listed([row['variant'] for row in rivals])}): "
    return f"{text}{'; '.join(said)} ({_seeds([whole, *rivals])}).{doubts}"


def _against_copy(by_name: Mapping[str, Row], generators: Sequence[Row], differences: Differences) -> str | None:
    copy = by_name.get("copy_input")
    if copy is None or not generators:
        return None
    behind = [row["variant"] for row in generators if row["lse_c"] <= copy["lse_c"]]
    ahead = [row for row in generators if row["lse_c"] > copy["lse_c"]]
    close = [row["variant"] for row in ahead if not is_clear(differences, row["variant"], "copy_input", "lse_c")]
    if behind:
        text = (
            f"Not better on LSE-C than leaving the input as it is ({copy['lse_c']:.3f}): {_listed(behind)}. "
            "By this measure their lips follow the audio no better than those of an unchanged video."
        )
    else:
        text = f"Every generator has a higher LSE-C than leaving the input as it is ({copy['lse_c']:.3f})."
    if close:
        text += f" Higher by what may be 0, which establishes nothing: {_listed(close)}."
    return text


def _seeds(rows: Sequence[Row]) -> str:
    """How many trainings a statement about averaged rows rests on."""
    numbers = sorted({row["num_seeds"] for row in rows})
    if numbers == [1]:
        return "one seed"
    return f"means over {' to '.join(str(number) for number in (numbers[0], numbers[-1])[: len(numbers)])} seeds"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def limits(rows: Sequence[Row], protocol: Mapping[str, Any]) -> list[str]:
    """What the figures cannot carry."""
    lines = []
    if protocol["evaluator"] == "official":
        lines.append("LSE-D and LSE-C come from the official syncnet_v2 weights.")
    else:
        lines.append(
            "LSE-D and LSE-C come from an evaluator trained here (the network of Chung & Zisserman 2016 at width "
            f"{protocol['evaluator_width']:g}), not from syncnet_v2: its distances have their own scale, so the values "
            "cannot be compared with published ones."
        )
    lines.append(
        "FID and KID of `real` and `copy_input` are 0 by construction: their face crops are the real ones. The same "
        "code computes them all the same."
    )
    images = min(row["fid_num_images"] for row in rows)
    if images < MIN_FID_IMAGES:
        lines.append(
            f"FID compares {images} images on each side. Below {MIN_FID_IMAGES} it is biased upward: compare the rows "
            "with each other, not with other work. KID has no such bias; chance may take it below 0."
        )
    if len({row["fid_num_images"] for row in rows}) > 1:
        numbers = ", ".join(f"`{row['variant']}` {row['fid_num_images']}" for row in rows)
        lines.append(f"FID falls as images grow in number, and rows have different ones: {numbers}.")
    rejected = max(row["num_rejected"] for row in rows)
    if rejected:
        lines.append(
            f"Preprocessing and the sync check left out {rejected} held-out clips or parts of clips "
            "(data/clips/rejects.parquet says why); no row has them."
        )
    still = [row["variant"] for row in rows if row["jitter_ratio"] < STILL_MOUTH]
    if still:
        lines.append(f"Mouths hardly move (jitter under {STILL_MOUTH:.0%} of the real videos'): {_listed(still)}.")
    failed = [row for row in rows if row["num_failed"]]
    if failed:
        named = ", ".join(f"`{row['variant']}` {row['num_failed']}" for row in failed)
        lines.append(f"Clips without a score are left out of the means and listed below: {named}.")
    if packages := differing(row["versions"] for row in rows):
        lines.append(
            f"Not every row was scored with the same {_listed(packages)} (versions below): small differences between "
            "rows may come from that."
        )
    return lines


def setting(protocol: Mapping[str, Any]) -> str:
    """What was scored, in two sentences."""
    return (
        f"{protocol['num_pairs']} pairs of a held-out clip and an audio: {protocol['pairing']} (digest "
        f"`{protocol['pairing_sha256'][:12]}`). Protocol `{protocol['id']}`, digest `{protocol['sha256'][:12]}`."
    )
