"""The golden curves as text: written, read and compared. ``python -m tests.golden.curves`` computes them anew."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from tests.golden.clips import write_clips
from tests.golden.networks import NETWORKS, Curve, compute_curve

CURVES_PATH = Path(__file__).with_name("curves.txt")
UNSTABLE = ("pairwise_accuracy", "offset_within_one_frame", "d_unsynced")
"""Counts, which one comparison that rounding decides moves by a whole share, and a hinge that is 0 but for a few
steps."""
CONSTANT = ("_weight", "learning_rate", "num_clips", "num_pairs", "chance_loss")
"""Settings, not results; the loss is made of them."""
HEADER = """\
# Thirty steps of each network on made clips: one process, one thread, fp32, on a CPU. Validation comes every 10 steps.
# `make golden` computes this file and prints what changed; tests/golden/test_curves.py compares.
"""


@dataclass(frozen=True)
class Change:
    """One number that is not what it was."""

    network: str
    step: int
    name: str
    old: float | None
    new: float | None

    def __str__(self) -> str:
        old, new = ("absent" if value is None else f"{value:.6g}" for value in (self.old, self.new))
        share = f" ({abs(self.new / self.old - 1):.1e})" if self.old and self.new else ""
        return f"{self.network} step {self.step} {self.name}: {old} -> {new}{share}"


def tolerance(name: str, step: int) -> float:
    """Largest difference of a number at a step, counted from 1, as a share of it.

    Every processor rounds in its own way, and training makes more of it from step to step. A network compared with
    itself on SSE4.1's kernels instead of AVX2's differs by up to 3e-6 in a loss and 2e-3 in a gradient at step 1, by
    8e-3 and 0.13 until step 5, by 0.05 and 0.5 until step 10, by 0.1 and 0.7 until the end. Validation, of weights that
    have hardly moved, differs by up to 1.4e-3 throughout. All terms of a loss are on from step 3, so that a changed
    constant shows while the numbers are still nearly exact.
    """
    if name.startswith("val_"):
        return 0.005
    if name == "grad_norm":
        return 0.01 if step == 1 else 0.5 if step <= 5 else math.inf
    return 1e-4 if step == 1 else 0.02 if step <= 5 else 0.1 if step <= 10 else 0.25


def differences(network: str, old: Curve, new: Curve, *, exact: bool = False) -> Iterator[Change]:
    """What differs by more than the `tolerance`, or at all, in the order of the steps."""
    olds, news = ({int(row["step"]): row for row in curve} for curve in (old, new))
    for step in sorted({*olds, *news}):
        before, after = olds.get(step, {}), news.get(step, {})
        for name in [*before, *(name for name in after if name not in before)]:
            a, b = before.get(name), after.get(name)
            limit = 0.0 if exact else tolerance(name, step)
            if a is None or b is None or not (abs(a - b) <= limit * abs(a) or limit == math.inf):
                yield Change(network, step, name, a, b)


def stable(curve: Curve) -> Curve:
    """Without the scalars that say nothing here, and rounded as the file has them."""
    return [
        {name: float(f"{value:.6g}") for name, value in row.items() if not name.endswith((*UNSTABLE, *CONSTANT))}
        for row in curve
    ]


def write_curves(path: Path, curves: Mapping[str, Curve]) -> None:
    """Two tables a network: the training's steps, then the validations'."""
    versions = f"# Computed with torch {torch.__version__} and numpy {np.__version__}.\n"
    tables = "".join(f"\n[{network}]\n{''.join(_tables(curve))}" for network, curve in curves.items())
    path.write_text(HEADER + versions + tables)


def read_curves(path: Path) -> dict[str, Curve]:
    """The file of `write_curves`: a row for each step of each network."""
    curves: dict[str, Curve] = {}
    names: list[str] = []
    rows: dict[float, dict[str, float]] = {}
    for line in path.read_text().splitlines():
        fields = line.split()
        if not fields or line.startswith("#"):
            continue
        if line.startswith("["):
            rows = {}
            curves[line.strip("[]")] = curve = []
        elif fields[0] == "step":
            names = fields
        else:
            row = {name: float(field) for name, field in zip(names, fields, strict=True) if field != "-"}
            if row["step"] not in rows:
                rows[row["step"]] = {}
                curve.append(rows[row["step"]])
            rows[row["step"]] |= row
    return curves


def _tables(curve: Curve) -> Iterator[str]:
    names = list(dict.fromkeys(name for row in curve for name in row if name != "step"))
    for part in ([n for n in names if not n.startswith("val_")], [n for n in names if n.startswith("val_")]):
        width = {name: max(12, len(name) + 2) for name in part}
        yield "step" + "".join(name.rjust(width[name]) for name in part) + "\n"
        for row in curve:
            if any(name in row for name in part):
                cells = ((f"{row[name]:.6g}" if name in row else "-").rjust(width[name]) for name in part)
                yield f"{int(row['step']):4d}" + "".join(cells) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compute the golden curves anew and print what changed.")
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(NETWORKS)}; none: all")
    wanted = parser.parse_args(argv).networks or list(NETWORKS)
    if unknown := set(wanted) - set(NETWORKS):
        parser.error(f"no such network: {', '.join(sorted(unknown))}")
    old = read_curves(CURVES_PATH) if CURVES_PATH.exists() else {}
    new = {network: curve for network, curve in old.items() if network in NETWORKS}
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_clips(folder / "clips")
        for network in wanted:
            scratch = folder / network
            scratch.mkdir()
            new[network] = stable(compute_curve(network, folder / "clips", scratch))
            report(network, old.get(network, []), new[network])
    write_curves(CURVES_PATH, {network: new[network] for network in NETWORKS if network in new})
    return 0


def report(network: str, old: Curve, new: Curve) -> None:
    """Print how many numbers changed, and the first of them, those beyond the tolerance before the others."""
    changes = list(differences(network, old, new, exact=True))
    beyond = list(differences(network, old, new))
    print(f"{network}: {len(changes)} numbers changed, {len(beyond)} of them by more than the tolerance")  # noqa: T201
    for change in (beyond or changes)[:5]:
        print(f"  {change}")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
