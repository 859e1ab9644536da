"""The comparison as Markdown and as tables, which the page shows too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.compare.differences import difference, num_videos
from pipeline.compare.findings import BOUNDS, LSE, findings, limits, setting, unfit_judge
from pipeline.compare.intervals import level
from pipeline.compare.paper import ABLATION, CAVEATS, REAL_VIDEO, TABLE_1, Published
from pipeline.compare.seeds import averaged, mean_of, runs_of, spread_of
from pipeline.core.versions import differing
from pipeline.report.tables import Table, bullets

Row = Mapping[str, Any]
BOUND_NAMES = {"real": "real video, own audio", "copy_input": "input left as it is, foreign audio"}
PROBES_NOTE = (
    "Clips drawn again with their own voice, compared with the real video, and with silence: there the mouth should "
    "rest. The motion that is left, as a share of that to their own voice, is also the head's. Warping: what the real "
    "video's motion leaves unexplained from frame to frame, over what it leaves in the real video; above 1 the mouth "
    "flickers, far below 1 it is smoother than video."
)
SEEDS_NOTE = "Mean and standard deviation over trainings from several seeds:"
EDGE_NOTE = (
    "As published, audio beyond a clip's ends is a zero vector. On clips of fewer than some 31 windows that moves "
    "LSE-C; edge valid averages each shift over the windows whose audio exists, where there are at least 5. On short "
    "clips it flatters noise: a minimum over few windows is low by chance."
)
ABLATION_TITLE = "The paper's ablation:"
TABLE_1_TITLE = "The paper's Table 1; its line for real video is Wav2Lip's:"
TABLE_1_ROWS = (*TABLE_1, REAL_VIDEO)
PAPER_CAVEAT = (
    "The paper's figures are from LRS2, under another protocol and on another evaluator's scale. Compare the order of "
    "the rows, not the values."
)


DIFFERENCES_NOTE = (
    "Clip by clip, which is much narrower than the intervals of the two means: a clip that is hard for one is hard for "
    "the other. Where there are several seeds, the means over them, and trainings are drawn again as clips are, "
    "which makes too little of the spread over a handful of seeds. A video that one of the two has no score "
    "for counts for neither. Unclear: the interval holds 0."
)


def intervals_note(comparison: Mapping[str, Any]) -> str:
    confidence = comparison["intervals"]["confidence"]
    return (
        f"Square brackets: {level(confidence)} interval over clips, by bootstrap, of the share within one frame by "
        "Wilson's formula. FID and KID have none: resampling images biases them."
    )


def markdown(comparison: Mapping[str, Any], failures: Mapping[str, Sequence[Row]]) -> str:
    """``comparison.md``. ``failures`` lists each variant's clips that got no score, with reasons."""
    rows, protocol = comparison["rows"], comparison["protocol"]
    parts = [
        "# Comparison",
        setting(protocol),
        our_table(rows).markdown(),
        intervals_note(comparison),
        *([SEEDS_NOTE, seeds.markdown()] if (seeds := seed_table(rows)).cells else []),
        *([apart.markdown(), DIFFERENCES_NOTE] if (apart := difference_table(comparison)).cells else []),
        *([probes.markdown(), PROBES_NOTE] if (probes := probe_table(rows)).cells else []),
        "## What it shows",
        bullets([*findings(rows, comparison["differences"]), *limits(rows, protocol)]),
        "## Beside the paper",
        PAPER_CAVEAT,
        ABLATION_TITLE,
        beside_paper(rows, ABLATION).markdown(),
        TABLE_1_TITLE,
        beside_paper(rows, TABLE_1_ROWS).markdown(),
        bullets(CAVEATS),
    ]
    if any(failures.values()):
        parts += ["## Clips without a score", failure_table(failures).markdown()]
    parts += ["## LSE at the ends of clips", EDGE_NOTE, edge_table(rows).markdown()]
    parts += ["## Protocol", protocol_table(protocol).markdown(), "## Versions", version_table(rows).markdown()]
    return "\n\n".join(parts) + "\n"


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
    """How the generators draw clips whose outcome is known; no cells where none was drawn."""
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


def seed_table(rows: Sequence[Row]) -> Table:
    """Mean and standard deviation over the runs of every variant that has several; no cells where none has."""
    header = ["variant", "LSE-D ↓", "LSE-C ↑", "FID ↓", "≤ 1 frame ↑", "jitter / real", "seeds"]
    forms = {"lse_d": ".3f", "lse_c": ".3f", "fid": ".2f", "within_one_frame": ".0%", "jitter_ratio": ".2f"}
    cells = []
    for name, runs in runs_of(rows).items():
        if len(runs) > 1:
            figures = [f"{mean_of(runs, key):{form}} ± {spread_of(runs, key):{form}}" for key, form in forms.items()]
            cells.append([f"`{name}`", *figures, str(len(runs))])
    return Table(header, cells)


def difference_table(comparison: Mapping[str, Any]) -> Table:
    """The first generator against every other row: its mean less theirs, and whether that is to its good.

    A row that rests on fewer videos than there are says on how many. No cells where there is no generator, too few
    clips for intervals, or an evaluator that cannot tell.
    """
    by_name = averaged(comparison["rows"])
    names = [] if unfit_judge(by_name) else list(by_name)
    first = next((name for name in names if name not in BOUNDS), "")
    apart, cells = comparison["differences"], []
    for other in names:
        leads = [(difference(apart, first, other, key), sign) for _, key, sign in LSE]
        texts = [_lead(*figures, sign) for figures, sign in leads if figures]
        if texts:
            num, num_all = num_videos(apart, first, other, "lse_d"), comparison["intervals"]["num_videos"]
            of_fewer = f" ({num} of {num_all} videos)" if num < num_all else ""
            cells.append([f"`{other}`{of_fewer}", *texts])
    return Table([f"`{first}` less", "LSE-D ↓", "LSE-C ↑"], cells)


def _lead(mean: float, low: float, high: float, sign: int) -> str:
    verdict = "unclear" if low <= 0 <= high else "better" if sign * mean > 0 else "worse"
    return f"{mean:+.3f} {_interval((low, high), '+.3f')} {verdict}"


def beside_paper(rows: Sequence[Row], printed: Sequence[Published]) -> Table:
    """Ours, means over seeds where there are several, beside the paper's; a dash where one side has none."""
    by_name = averaged(rows)
    header = ["row", "LSE-D ours", "paper", "LSE-C ours", "paper", "FID ours", "paper"]
    cells = []
    for theirs in printed:
        ours = by_name.get(theirs.variant or "")
        line = [f"`{theirs.variant}` ({theirs.method})"]
        for key, digits in (("lse_d", 3), ("lse_c", 3), ("fid", 2)):
            value = getattr(theirs, key)
            line.append(f"{ours[key]:.{digits}f}" if ours else "-")
            line.append("-" if value is None else f"{value:.3f}")
        cells.append(line)
    return Table(header, cells)


def edge_table(rows: Sequence[Row]) -> Table:
    """LSE as published and without the zero vectors that stand for audio beyond a clip's ends."""
    header = ["row", "LSE-D", "edge valid", "LSE-C", "edge valid"]
    keys = ("lse_d", "lse_d_valid", "lse_c", "lse_c_valid")
    return Table(header, [[f"`{row['variant']}`", *(f"{row[key]:.3f}" for key in keys)] for row in rows])


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
