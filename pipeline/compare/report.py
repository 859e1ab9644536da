"""The comparison in words: Markdown tables, and what they do and do not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.compare.paper import ABLATION, CAVEATS, REAL_VIDEO, TABLE_1, Published
from pipeline.markdown import Table, bullets
from pipeline.versions import differing

Row = Mapping[str, Any]
MIN_FID_IMAGES = 2048
"""FID estimates a 2048-d covariance (Heusel et al. 2017)."""
TRUSTED_SHARE = 0.8
"""An evaluator that places fewer real videos within one frame is called weak."""
BOUND_NAMES = {"real": "real video, own audio", "copy_input": "input left as it is, foreign audio"}


PROBES_NOTE = (
    "Clips drawn again with their own voice, compared with the real video, and with silence: there the mouth should "
    "rest. The motion that is left, as a share of that to their own voice, is also the head's. Warping: what the real "
    "video's motion leaves unexplained from frame to frame, over what it leaves in the real video; above 1 the mouth "
    "flickers, far below 1 it is smoother than video."
)
PAPER_CAVEAT = (
    "The paper's figures are from LRS2, under another protocol and on another evaluator's scale. Compare the order of "
    "the rows, not the values."
)


def intervals_note(comparison: Mapping[str, Any]) -> str:
    level = round(100 * comparison["intervals"]["confidence"])
    return (
        f"Square brackets: {level} % interval over clips, by bootstrap, of the share within one frame by Wilson's "
        "formula. FID and KID have none: resampling images biases them."
    )


def markdown(comparison: Mapping[str, Any], failures: Mapping[str, Sequence[Row]]) -> str:
    """``comparison.md``. ``failures`` lists each variant's clips that got no score, with reasons."""
    rows, protocol = comparison["rows"], comparison["protocol"]
    parts = [
        "# Comparison",
        setting(protocol),
        our_table(rows).markdown(),
        intervals_note(comparison),
        *([probes.markdown(), PROBES_NOTE] if (probes := probe_table(rows)).cells else []),
        "## What it shows",
        bullets([*findings(rows), *limits(rows, protocol)]),
        "## Beside the paper",
        PAPER_CAVEAT,
        arm_table(rows).markdown(),
        "The paper's Table 1 (LRS2), as printed:",
        published_table().markdown(),
        bullets(CAVEATS),
    ]
    if any(failures.values()):
        parts += ["## Clips without a score", failure_table(failures).markdown()]
    parts += ["## Protocol", protocol_table(protocol).markdown(), "## Versions", version_table(rows).markdown()]
    return "\n\n".join(parts) + "\n"


def findings(rows: Sequence[Row]) -> list[str]:
    """What the rows say about sync, best first, in whole sentences."""
    by_name = {row["variant"]: row for row in rows}
    arms = [row for row in rows if row["variant"] not in BOUND_NAMES]
    best = min(rows, key=lambda row: row["lse_d"])
    lines = [line for line in (_weak_judge(by_name), _real_behind(by_name, arms)) if line]
    lines += [f"`{best['variant']}` has the best LSE-D of all rows ({best['lse_d']:.3f})."]
    real = by_name.get("real")
    if real and best["variant"] == "copy_input":
        lines.append(
            f"`real` is not the best: real videos score {real['lse_d']:.3f}, worse than the same videos with foreign "
            "audio. This evaluator cannot hear whether lips fit: read nothing into LSE here; train it longer "
            "or on more clips."
        )
    elif real and best is not real:
        lines.append(
            f"`real` is not the best: real videos score {real['lse_d']:.3f}. A generator below that has learnt what "
            "the evaluator likes, or the evaluator is too weak to prefer real speech. Do not read it as better lips."
        )
    if arms:
        leader = min(arms, key=lambda row: row["lse_d"])
        text = f"Best arm: `{leader['variant']}` on LSE-D ({leader['lse_d']:.3f})"
        for name, key, pick in (("LSE-C", "lse_c", max), ("FID", "fid", min)):
            other = pick(arms, key=lambda row: row[key])
            text += f", `{other['variant']}` on {name} ({other[key]:.3f})"
        lines.append(text + ".")
    lines += [line for line in (_order(by_name), _against_copy(by_name, arms)) if line]
    return lines


def _weak_judge(by_name: Mapping[str, Row]) -> str | None:
    """Said before anything else: where real speech is not recognised, no other figure of sync means much."""
    real = by_name.get("real")
    if real is None or real["within_one_frame"] >= TRUSTED_SHARE:
        return None
    return (
        f"Read nothing into LSE here: the evaluator places only {real['within_one_frame']:.0%} of the real videos "
        "within one frame of sync."
    )


def _real_behind(by_name: Mapping[str, Row], arms: Sequence[Row]) -> str | None:
    real = by_name.get("real")
    ahead = [row["variant"] for row in arms if real and row["lse_c"] > real["lse_c"]]
    if real is None or not ahead:
        return None
    return (
        f"`real` has a lower LSE-C ({real['lse_c']:.3f}) than {_listed(ahead)}: a measure by which real speech is "
        "worse is at fault."
    )


def _order(by_name: Mapping[str, Row]) -> str | None:
    """Whether the paper's claim, none < {LSTM, CBAM} < both, holds here on LSE-D and LSE-C."""
    names = ("no_lstm_cbam", "no_lstm", "no_cbam", "lstm_cbam")
    if not all(name in by_name for name in names):
        return None
    said = []
    for label, key, sign in (("LSE-D", "lse_d", -1), ("LSE-C", "lse_c", 1)):
        none, cbam, lstm, both = (sign * by_name[name][key] for name in names)
        said.append(f"{'holds' if none < min(cbam, lstm) and max(cbam, lstm) < both else 'does not hold'} on {label}")
    text = f"The paper's order, neither < LSTM or CBAM alone < both, {' and '.join(said)} (one seed)."
    whole = by_name["lstm_cbam"]
    close = [name for name in names[:3] if _overlap(whole["lse_d_ci"], by_name[name]["lse_d_ci"])]
    if close:
        text += f" On LSE-D the intervals of `lstm_cbam` and {_listed(close)} overlap: not established."
    return text


def _against_copy(by_name: Mapping[str, Row], arms: Sequence[Row]) -> str | None:
    copy = by_name.get("copy_input")
    if copy is None or not arms:
        return None
    behind = [row["variant"] for row in arms if row["lse_c"] <= copy["lse_c"]]
    ahead = [row for row in arms if row["lse_c"] > copy["lse_c"]]
    close = [row["variant"] for row in ahead if _overlap(row["lse_c_ci"], copy["lse_c_ci"])]
    if behind:
        text = (
            f"Not better on LSE-C than leaving the input as it is ({copy['lse_c']:.3f}): {_listed(behind)}. "
            "By this measure they follow the audio no better than an unchanged video."
        )
    else:
        text = f"Every arm has a higher LSE-C than leaving the input as it is ({copy['lse_c']:.3f})."
    if close:
        text += f" Higher only within overlapping intervals, which establishes nothing: {_listed(close)}."
    return text


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two intervals (low, high) share a value."""
    return max(one[0], other[0]) <= min(one[1], other[1])


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
        "FID of `real` and `copy_input` is 0 by construction, and their KID just below it: their face crops are the "
        "real ones. The same code computes it all the same."
    )
    images = min(row["fid_num_images"] for row in rows)
    if images < MIN_FID_IMAGES:
        lines.append(
            f"FID compares {images} images on each side. Below {MIN_FID_IMAGES} it is biased upward: compare the rows "
            "with each other, not with other work. KID has no such bias; it may fall below 0 by chance."
        )
    rejected = max(row["num_rejected"] for row in rows)
    if rejected:
        lines.append(
            f"Preprocessing refused {rejected} held-out clips (data/shards/rejects.parquet says why); no row has them."
        )
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
        f"{protocol['num_pairs']} held-out clips, each with another clip's audio (seeded pairing, digest "
        f"`{protocol['pairing_sha256'][:12]}`); `real` keeps its own audio. Protocol `{protocol['id']}`, digest "
        f"`{protocol['sha256'][:12]}`."
    )


def our_table(rows: Sequence[Row]) -> Table:
    """Every row with its figures; intervals in square brackets."""
    header = [
        "row",
        "LSE-D ↓",
        "LSE-C ↑",
        "FID ↓",
        "1000 KID ↓",
        "≤ 1 frame ↑",
        "jitter / real",
        "clips",
    ]
    cells = []
    for row in rows:
        name = f"`{row['variant']}`"
        if row["variant"] in BOUND_NAMES:
            name += f" ({BOUND_NAMES[row['variant']]})"
        cells.append(
            [
                name,
                *(f"{row[key]:.3f} {_interval(row[f'{key}_ci'], '.3f')}" for key in ("lse_d", "lse_c")),
                f"{row['fid']:.2f}",
                f"{1000 * row['kid']:.2f}",
                f"{row['within_one_frame']:.0%} {_interval(row['within_one_frame_ci'], '.0%')}",
                f"{row['jitter_ratio']:.2f} {_interval(row['jitter_ratio_ci'], '.2f')}",
                str(row["num_clips"]) + (f" ({row['num_failed']} failed)" if row["num_failed"] else ""),
            ]
        )
    return Table(header, cells)


def _interval(bounds: Sequence[float], form: str) -> str:
    return f"[{bounds[0]:{form}}, {bounds[1]:{form}}]"


def probe_table(rows: Sequence[Row]) -> Table:
    """How the arms draw clips whose outcome is known; no cells where none was drawn."""
    header = ["row", "SSIM, own voice ↑", "PSNR, own voice ↑", "warping / real", "motion to silence ↓", "clips"]
    cells = [
        [
            f"`{row['variant']}`",
            f"{row['reconstruction_ssim']:.3f}",
            f"{row['reconstruction_psnr_db']:.2f} dB",
            f"{row['reconstruction_warping_error'] / row['real_warping_error']:.2f}",
            f"{row['silence_motion']:.0%}",
            str(row["num_probes"]),
        ]
        for row in rows
        if "silence_motion" in row
    ]
    return Table(header, cells)


def arm_table(rows: Sequence[Row]) -> Table:
    """The four arms beside the paper's ablation."""
    by_name = {row["variant"]: row for row in rows}
    header = ["arm", "LSE-D ours", "paper", "LSE-C ours", "paper", "FID ours", "paper"]
    cells = []
    for printed in ABLATION:
        ours = by_name.get(printed.variant or "")
        line = [f"`{printed.variant}` ({printed.method})"]
        for key, digits in (("lse_d", 3), ("lse_c", 3), ("fid", 2)):
            line.append(f"{ours[key]:.{digits}f}" if ours else "-")
            line.append(f"{getattr(printed, key):.3f}")
        cells.append(line)
    return Table(header, cells)


def published_table(published: Sequence[Published] = (*TABLE_1, REAL_VIDEO)) -> Table:
    """Table 1 as printed."""
    cells = [
        [
            printed.method,
            printed.source,
            f"{printed.lse_d:.3f}",
            f"{printed.lse_c:.3f}",
            "-" if printed.fid is None else f"{printed.fid:.3f}",
        ]
        for printed in published
    ]
    return Table(["method", "printed in", "LSE-D ↓", "LSE-C ↑", "FID ↓"], cells, num_text=2)


def failure_table(failures: Mapping[str, Sequence[Row]]) -> Table:
    """Every clip of every row that got no score."""
    cells = [
        [f"`{variant}`", failure["clip_id"], failure["reason"]]
        for variant, failed in failures.items()
        for failure in failed
    ]
    return Table(["row", "clip", "reason"], cells, num_text=3)


def protocol_table(protocol: Mapping[str, Any]) -> Table:
    """What had to be equal for the rows to share a table."""
    cells = [[key, f"`{value}`"] for key, value in sorted(protocol.items())]
    return Table(["setting", "value"], cells, num_text=2)


def version_table(rows: Sequence[Row]) -> Table:
    """The packages behind the figures: one column where all rows agree, else one per row."""
    versions = {f"`{row['variant']}`": row["versions"] for row in rows}
    if not differing(versions.values()):
        versions = {"version": {name: version for found in versions.values() for name, version in found.items()}}
    names = sorted({name for found in versions.values() for name in found})
    cells = [[name, *(found.get(name, "-") for found in versions.values())] for name in names]
    return Table(["package", *versions], cells, num_text=1 + len(versions))
