"""Caveats of a comparison as sentences: what limits the meaning of its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.compare.seeds import runs_of
from pipeline.core.choices import BOUNDS, JUDGE_NAMES
from pipeline.core.versions import differing
from pipeline.metrics import MIN_FID_IMAGES
from pipeline.report.tables import code_list

Row = Mapping[str, Any]


def caveats_of(rows: Sequence[Row], protocol: Mapping[str, Any], *, is_about_sync: bool = True) -> list[str]:
    """Caveats of the scores as sentences; none on LSE if ``is_about_sync`` is False."""
    about_lse = [_on_the_evaluator(protocol)] if is_about_sync else []
    found = [*about_lse, *_on_seeds(rows), *_on_fid(rows), *_on_clips(rows), *_on_lips(rows)]
    if packages := differing(row["versions"] for row in rows):
        found.append(
            f"Rows were scored with different versions of {code_list(packages)} (listed below). Small differences "
            "between rows may come from that."
        )
    return found


def _on_the_evaluator(protocol: Mapping[str, Any]) -> str:
    """Where LSE comes from, and which other values it may be compared with."""
    evaluator = protocol["evaluator"]
    if evaluator == "official":
        return "LSE-D and LSE-C come from the official syncnet_v2 weights."
    network = f"the network of Chung & Zisserman 2016 at width {protocol['evaluator_width']:g}"
    if evaluator in JUDGE_NAMES:
        return (
            f"LSE-D and LSE-C come from {evaluator} ({network}, trained on rendered speakers and on GRID), not from "
            "syncnet_v2. Compare them with other results of the same judge only, not with published values."
        )
    return (
        f"LSE-D and LSE-C come from an evaluator trained in this checkout ({network}), not from syncnet_v2. Its "
        "distances have their own scale: do not compare the values with published ones."
    )


def _on_seeds(rows: Sequence[Row]) -> list[str]:
    generators = {name: runs for name, runs in runs_of(rows).items() if name not in BOUNDS}
    single = [name for name, runs in generators.items() if len(runs) == 1]
    if not single:
        return []
    named = "every generator" if len(single) == len(generators) else code_list(single)
    return [f"One training run of {named}: its intervals are over clips only, and another seed may change the order."]


def _on_fid(rows: Sequence[Row]) -> list[str]:
    found = [
        "FID of `real` and `copy_input` is 0 by construction, because their face crops are the real ones. Their KID is "
        "below 0, because the unbiased estimator assumes two independent sets."
    ]
    images = min(row["fid_num_images"] for row in rows)
    if images < MIN_FID_IMAGES:
        found.append(
            f"FID compares {images} images on each side. Below {MIN_FID_IMAGES} it is biased upward: compare the rows "
            "with each other, not with other work. KID has no such bias. By chance, and because generated and real "
            "images are of the same frames, it may be below 0."
        )
    if len({row["fid_num_images"] for row in rows}) > 1:
        numbers = ", ".join(f"`{row['variant']}` {row['fid_num_images']}" for row in rows)
        found.append(f"FID decreases with the number of images, and the rows have different numbers: {numbers}.")
    return found


def _on_clips(rows: Sequence[Row]) -> list[str]:
    """Clips that are missing or have no score."""
    found = []
    if rejected := max(row["num_rejected"] for row in rows):
        found.append(
            f"Preprocessing and the sync filter rejected {rejected} held-out clips or parts of clips "
            "(reasons: data/clips/rejects.parquet). They are missing from every row."
        )
    if failed := [f"`{row['variant']}` {row['num_failed']}" for row in rows if row["num_failed"]]:
        found.append(f"Clips without a score are left out of the means and listed below: {', '.join(failed)}.")
    return found


def _on_lips(rows: Sequence[Row]) -> list[str]:
    """What the lip metrics are compared with, or why rows lack them."""
    missing: dict[str, list[str]] = {}
    for row in rows:
        if reason := row["lips_missing"]:
            missing.setdefault(reason, []).append(row["variant"])
    found = [
        f"{reason[0].upper()}{reason[1:]}{'' if len(names) == len(rows) else f' (rows {code_list(names)})'}."
        for reason, names in missing.items()
    ]
    if any(row["opening_correlation"] is not None or row["pause_motion_px"] is not None for row in rows):
        found.append(
            "Opening ~ loudness and lips in pauses differ between speakers: compare them with the row `real`, not with "
            "other clips. On a single clip they tell little."
        )
    return found
