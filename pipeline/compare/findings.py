"""Findings and limits of a comparison as sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.compare.differences import DIRECTIONS, Differences, is_clear
from pipeline.compare.seeds import averaged
from pipeline.core.choices import BOUNDS, JUDGE_NAMES
from pipeline.core.versions import differing
from pipeline.metrics import MIN_FID_IMAGES

Row = Mapping[str, Any]
BASELINES = ("wav2lip", "lipgan", "speech2vid")
"""The systems of the paper's Table 1."""
STILL_MOUTH = 0.05
"""Share of the real videos' jitter below which a generated mouth counts as still."""
TRUSTED_SHARE = 0.8
"""Least share of real videos within one frame; with a lower one the evaluator does not measure sync."""


def findings(rows: Sequence[Row], differences: Differences, evaluator: str) -> list[str]:
    """Findings from the rows as sentences; none about sync if the evaluator does not measure it.

    ``evaluator``: its name in the protocol. ``differences``: as from ``differences.differences``. A lead whose interval
    contains 0 is reported as not established.
    """
    by_name = averaged(rows)
    generators = [row for name, row in by_name.items() if name not in BOUNDS]
    if problem := evaluator_problem(by_name, evaluator):
        return [problem, *_best_generators(generators, [("FID", "fid", min)])]
    best = min(by_name.values(), key=lambda row: row["lse_d"])
    real = by_name.get("real")
    lines = [
        _real_behind(by_name, generators, differences),
        f"`{best['variant']}` has the best LSE-D of all rows ({best['lse_d']:.3f}).",
    ]
    if real and best["variant"] != "real":
        lines.append(
            f"`real` does not have the best LSE-D ({real['lse_d']:.3f}). Either the generator is fitted to the "
            "evaluator, or the evaluator is too weak. A lower value does not mean better lips."
        )
    figures = [("LSE-D", "lse_d", min), ("LSE-C", "lse_c", max), ("FID", "fid", min)]
    lines += _best_generators(generators, figures)
    lines += [
        _order(by_name, differences),
        _against_baselines(by_name, differences),
        _against_copy(by_name, generators, differences),
    ]
    return [line for line in lines if line]


def evaluator_problem(by_name: Mapping[str, Row], evaluator: str) -> str | None:
    """Why the evaluator does not measure sync; None if it does.

    Real videos are not placed in sync, or they score worse than the same videos with the audio of another clip.
    """
    real, copy = by_name.get("real"), by_name.get("copy_input")
    remedy = f"Do not use these LSE values. {_remedy(evaluator)}"
    if real and real["within_one_frame"] < TRUSTED_SHARE:
        return (
            f"The evaluator places only {real['within_one_frame']:.0%} of the real videos within one frame of sync: "
            f"it does not measure sync. {remedy}"
        )
    if real and copy and copy["lse_d"] < real["lse_d"]:
        return (
            f"Real videos have a worse LSE-D ({real['lse_d']:.3f}) than the same videos with the audio of "
            f"another clip ({copy['lse_d']:.3f}): the evaluator does not measure sync. {remedy}"
        )
    return None


def _remedy(evaluator: str) -> str:
    """What to do about an evaluator that does not measure sync."""
    if evaluator == "trained":
        return (
            "In params.yaml, raise train_evaluator.num_steps, use more clips, or set evaluate.lse.weights to judge-1 "
            "or to the path of syncnet_v2.model."
        )
    other = "the path of syncnet_v2.model" if evaluator in JUDGE_NAMES else "judge-1"
    return (
        f"In params.yaml, set evaluate.lse.weights to null, which trains an evaluator on these clips, or to {other}. "
        "If neither helps, check that the clips are in sync."
    )


def _best_generators(generators: Sequence[Row], figures: Sequence[tuple[str, str, Callable[..., Row]]]) -> list[str]:
    """The best generator in each of ``figures``: label, key, and min or max."""
    if not generators:
        return []
    leaders = [(label, key, pick(generators, key=lambda row, key=key: row[key])) for label, key, pick in figures]
    figures_of: dict[str, list[str]] = {}
    for label, key, row in leaders:
        figures_of.setdefault(row["variant"], []).append(f"{label} ({row[key]:.3f})")
    statements = "; ".join(f"`{name}` on {', '.join(of_one)}" for name, of_one in figures_of.items())
    return [f"Best generator: {statements}."]


def _real_behind(by_name: Mapping[str, Row], generators: Sequence[Row], differences: Differences) -> str | None:
    """Which generators have a clearly higher LSE-C than ``real``; None if none has."""
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
        f"`real` has a lower LSE-C ({real['lse_c']:.3f}) than {_listed(ahead)}: real videos should have the highest. "
        "LSE-C is not reliable here."
    )


LSE = tuple((label, key, DIRECTIONS[key]) for label, key in (("LSE-D", "lse_d"), ("LSE-C", "lse_c")))
"""Label, key, and the sign with which larger is better."""


def _order(by_name: Mapping[str, Row], differences: Differences) -> str | None:
    """Whether the paper's order, neither < {LSTM, CBAM} < both, holds on LSE-D and LSE-C, and is established."""
    names = ("no_lstm_cbam", "no_lstm", "no_cbam", "lstm_cbam")
    if not all(name in by_name for name in names):
        return None
    statements, doubts = [], ""
    for label, key, sign in LSE:
        steps = [(worse, better) for worse in names[:1] for better in names[1:3]]
        steps += [(worse, better) for worse in names[1:3] for better in names[3:]]
        broken = [
            f"`{worse}` is not behind `{better}`"
            for worse, better in steps
            if sign * by_name[worse][key] >= sign * by_name[better][key]
        ]
        statements.append(f"does not hold on {label} ({', '.join(broken)})" if broken else f"holds on {label}")
        unclear = [
            f"`{worse}` and `{better}`" for worse, better in steps if not is_clear(differences, better, worse, key)
        ]
        if unclear and not broken:
            doubts += f" On {label} it is not established: the difference may be 0 between {', '.join(unclear)}."
    seeds = _seeds([by_name[name] for name in names])
    return f"The paper's order, neither < LSTM or CBAM alone < both, {' and '.join(statements)} ({seeds}).{doubts}"


def _against_baselines(by_name: Mapping[str, Row], differences: Differences) -> str | None:
    """Whether the paper's network is ahead of the systems of its Table 1, and whether that is established."""
    whole = by_name.get("lstm_cbam")
    baselines = [by_name[name] for name in BASELINES if name in by_name]
    if whole is None or not baselines:
        return None
    statements, doubts = [], ""
    for label, key, sign in (*LSE, ("FID", "fid", -1)):
        ahead = [row for row in baselines if sign * whole[key] > sign * row[key]]
        of_whom = "all" if len(ahead) == len(baselines) else _listed([row["variant"] for row in ahead]) or "none"
        statements.append(f"on {label} ahead of {of_whom}")
        unclear = [
            row["variant"]
            for row in ahead
            if key in DIRECTIONS and not is_clear(differences, "lstm_cbam", row["variant"], key)
        ]
        if unclear:
            doubts += f" On {label} its lead over {_listed(unclear)} is not established: it may be 0."
    text = (
        f"`lstm_cbam` against the baselines of the paper's Table 1 ({_listed([row['variant'] for row in baselines])}): "
    )
    return f"{text}{'; '.join(statements)} ({_seeds([whole, *baselines])}).{doubts}"


def _against_copy(by_name: Mapping[str, Row], generators: Sequence[Row], differences: Differences) -> str | None:
    """Which generators have a higher LSE-C than ``copy_input``, and which leads are unclear."""
    copy = by_name.get("copy_input")
    if copy is None or not generators:
        return None
    behind = [row["variant"] for row in generators if row["lse_c"] <= copy["lse_c"]]
    ahead = [row for row in generators if row["lse_c"] > copy["lse_c"]]
    unclear = [row["variant"] for row in ahead if not is_clear(differences, row["variant"], "copy_input", "lse_c")]
    if behind:
        text = (
            f"No higher LSE-C than the unchanged video `copy_input` ({copy['lse_c']:.3f}): {_listed(behind)}. "
            "By this metric their lips follow the audio no better than those of the unchanged video."
        )
    else:
        text = f"Every generator has a higher LSE-C than the unchanged video `copy_input` ({copy['lse_c']:.3f})."
    if unclear:
        text += f" The lead is not established, because it may be 0: {_listed(unclear)}."
    return text


def _seeds(rows: Sequence[Row]) -> str:
    """Number of seeds behind a statement about averaged rows."""
    numbers = sorted({row["num_seeds"] for row in rows})
    if numbers == [1]:
        return "one seed"
    return f"means over {' to '.join(str(number) for number in (numbers[0], numbers[-1])[: len(numbers)])} seeds"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def limits(rows: Sequence[Row], protocol: Mapping[str, Any]) -> list[str]:
    """Limits of the scores as sentences."""
    lines = []
    if protocol["evaluator"] == "official":
        lines.append("LSE-D and LSE-C come from the official syncnet_v2 weights.")
    elif protocol["evaluator"] in JUDGE_NAMES:
        lines.append(
            f"LSE-D and LSE-C come from {protocol['evaluator']} (the network of Chung & Zisserman 2016 at width "
            f"{protocol['evaluator_width']:g}, trained on rendered speakers and on GRID), not from syncnet_v2. Compare "
            "them with other results of the same judge only, not with published values."
        )
    else:
        lines.append(
            "LSE-D and LSE-C come from an evaluator trained in this checkout (the network of Chung & Zisserman 2016 "
            f"at width {protocol['evaluator_width']:g}), not from syncnet_v2. Its distances have their own scale: do "
            "not compare the values with published ones."
        )
    lines.append(
        "FID and KID of `real` and `copy_input` are 0 by construction, because their face crops are the real ones. "
    )
    images = min(row["fid_num_images"] for row in rows)
    if images < MIN_FID_IMAGES:
        lines.append(
            f"FID compares {images} images on each side. Below {MIN_FID_IMAGES} it is biased upward: compare the rows "
            "with each other, not with other work. KID has no such bias; by chance it may be below 0."
        )
    if len({row["fid_num_images"] for row in rows}) > 1:
        numbers = ", ".join(f"`{row['variant']}` {row['fid_num_images']}" for row in rows)
        lines.append(f"FID decreases with the number of images, and the rows have different numbers: {numbers}.")
    rejected = max(row["num_rejected"] for row in rows)
    if rejected:
        lines.append(
            f"Preprocessing and the sync filter rejected {rejected} held-out clips or parts of clips "
            "(reasons: data/clips/rejects.parquet). They are missing from every row."
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
            f"Rows were scored with different versions of {_listed(packages)} (listed below). Small differences "
            "between rows may come from that."
        )
    return lines


def setting(protocol: Mapping[str, Any]) -> str:
    """The pairs and the protocol, in two sentences."""
    return (
        f"{protocol['num_pairs']} pairs of a held-out video and an audio track: {protocol['pairing']} (digest "
        f"`{protocol['pairing_sha256'][:12]}`). Protocol `{protocol['id']}`, digest `{protocol['sha256'][:12]}`."
    )
