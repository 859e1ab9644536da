"""What a comparison shows, as sentences in the order in which every report states them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.compare.caveats import caveats_of
from pipeline.compare.differences import DIRECTIONS, Differences, is_clear
from pipeline.compare.seeds import averaged
from pipeline.core.choices import BOUNDS
from pipeline.metrics.fitness import Fitness
from pipeline.report.tables import code_list

Row = Mapping[str, Any]
BASELINES = ("wav2lip", "lipgan", "speech2vid")
"""The systems of the paper's Table 1."""
LSE = tuple((label, key, DIRECTIONS[key]) for label, key in (("LSE-D", "lse_d"), ("LSE-C", "lse_c")))
"""Label, key, and the sign with which larger is better."""
FID = ("FID", "fid", -1)
STILL_MOUTH = 0.05
"""Share of the real videos' jitter below which a generated mouth counts as still."""


@dataclass(frozen=True)
class Findings:
    """The findings of a comparison and its caveats, in the order in which a report states them.

    If the evaluator cannot judge the clips, no sentence but ``fitness`` is about sync.
    """

    fitness: Fitness
    against_copy: list[str]
    """Which generators beat ``copy_input`` on LSE-D and on LSE-C, clearly or not, and which do not."""
    best: Sequence[str]
    """The best generator on LSE-D, LSE-C and FID, and whether its lead over the next one is established."""
    still: list[str]
    """Which generators hardly move the mouth. They are left out of all other findings."""
    paper: Sequence[str]
    """Whether the order of the paper's ablation and of its Table 1 holds."""
    caveats: Sequence[str]

    @property
    def answers(self) -> list[str]:
        """What a reader wants to know first: fitness, generators against ``copy_input``, the best, still mouths."""
        return [self.fitness.text, *self.against_copy, *self.best, *self.still]


def findings_of(comparison: Mapping[str, Any]) -> Findings:
    """The findings of a comparison.

    ``comparison``: as from ``table.comparison``. Variants with several seeds enter with their means. A lead is
    established if the interval of the difference does not contain 0.
    """
    rows, differences, protocol = comparison["rows"], comparison["differences"], comparison["protocol"]
    by_name = averaged(rows)
    generators = [row for name, row in by_name.items() if name not in BOUNDS]
    still = [row for row in generators if row["jitter_ratio"] < STILL_MOUTH]
    moving = [row for row in generators if row not in still]
    compared = {row["variant"]: row for row in moving}
    fitness = Fitness(**comparison["fitness"])
    caveats = caveats_of(rows, protocol, is_about_sync=not fitness.is_unfit)
    if fitness.is_unfit:
        return Findings(fitness, [], _best(moving, [FID], differences), _still(still), [], caveats)
    doubts = _better_than_real(by_name, generators, differences)
    order = [_order(compared, differences), _against_baselines(compared, differences)]
    return Findings(
        fitness=replace(fitness, text=" ".join([fitness.text, *doubts])),
        against_copy=_against_copy(
            by_name, moving, differences, "generators whose mouth moves" if still else "generators"
        ),
        best=_best(moving, [*LSE, FID], differences),
        still=_still(still),
        paper=[line for line in order if line],
        caveats=caveats,
    )


def _better_than_real(by_name: Mapping[str, Row], generators: Sequence[Row], differences: Differences) -> list[str]:
    """Which generators are clearly better than ``real`` on a metric, which is then not reliable."""
    real = by_name.get("real")
    lines = []
    for label, key, _ in LSE:
        better = [row["variant"] for row in generators if is_clear(differences, row["variant"], "real", key)]
        if real is not None and better:
            lines.append(
                f"But these are clearly better than `real` on {label} ({real[key]:.3f}): {code_list(better)}. Real "
                f"videos should be best, so a better {label} does not mean better lips here."
            )
    return lines


def _still(rows: Sequence[Row]) -> list[str]:
    """Which generators hardly move the mouth."""
    if not rows:
        return []
    named = ", ".join(f"`{row['variant']}` ({row['jitter_ratio']:.1%})" for row in rows)
    return [
        f"The mouth hardly moves (jitter under {STILL_MOUTH:.0%} of the real videos') with {named}. Sync scores and "
        "FID of a still mouth say nothing about lip sync, so all other findings leave these generators out."
    ]


def _against_copy(
    by_name: Mapping[str, Row], generators: Sequence[Row], differences: Differences, called: str
) -> list[str]:
    """Which generators are better than ``copy_input`` on LSE-D and LSE-C, which not clearly, and which are not.

    ``called``: what the text calls the generators.
    """
    copy = by_name.get("copy_input")
    if copy is None or not generators:
        return []
    metrics_of: dict[str, list[str]] = {}  # statement -> the metrics on which it holds
    for label, key, sign in LSE:
        ahead = [row["variant"] for row in generators if sign * row[key] > sign * copy[key]]
        clear = [name for name in ahead if is_clear(differences, name, "copy_input", key)]
        unclear = [name for name in ahead if name not in clear]
        behind = [row["variant"] for row in generators if row["variant"] not in ahead]
        statement = f"{_of_all(clear, generators, called)}."
        if unclear:
            statement += (
                f" Ahead, but not clearly, because the difference may be 0: {_of_all(unclear, generators, called)}."
            )
        if behind:
            statement += f" Not better: {_of_all(behind, generators, called)}."
        metrics_of.setdefault(statement, []).append(f"{label} ({copy[key]:.3f})")
    return [
        f"Clearly better than the unchanged video `copy_input` on {' and '.join(metrics)}: {statement}"
        for statement, metrics in metrics_of.items()
    ]


def _best(generators: Sequence[Row], metrics: Sequence[tuple[str, str, int]], differences: Differences) -> list[str]:
    """The best generator on each of ``metrics``, and whether its lead over the next one is established."""
    lines = []
    for label, key, sign in metrics:
        ranked = sorted(generators, key=lambda row: -sign * row[key])
        named = [f"`{row['variant']}` ({row[key]:.{2 if key == 'fid' else 3}f})" for row in ranked[:2]]
        if len(named) == 1:
            lines.append(f"Best on {label}: {named[0]}, the only generator.")
        elif named:
            lead = _lead(ranked[0], ranked[1], key, differences)
            lines.append(f"Best on {label}: {named[0]}, before {named[1]}. {lead}")
    return lines


def _lead(best: Row, following: Row, key: str, differences: Differences) -> str:
    """Whether the best generator's lead over the next one is established."""
    if key not in DIRECTIONS:
        return "The lead is not established: FID has no interval."
    if is_clear(differences, best["variant"], following["variant"], key):
        return f"The lead is established ({_seeds([best, following])})."
    return "The lead is not established: it may be 0."


def _order(by_name: Mapping[str, Row], differences: Differences) -> str | None:
    """Whether the paper's order, neither < {LSTM, CBAM} < both, holds on LSE-D and LSE-C, and is established."""
    neither, *one, both = names = ("no_lstm_cbam", "no_lstm", "no_cbam", "lstm_cbam")
    if not all(name in by_name for name in names):
        return None
    steps = [*((neither, better) for better in one), *((worse, both) for worse in one)]
    metrics_of: dict[str, list[str]] = {}  # statement -> the metrics on which it holds
    for label, key, sign in LSE:
        broken = [pair for pair in steps if sign * by_name[pair[0]][key] >= sign * by_name[pair[1]][key]]
        unclear = [(worse, better) for worse, better in steps if not is_clear(differences, better, worse, key)]
        if broken:
            statement = f"this does not hold: {_not_better(broken)}"
        elif unclear:
            named = ", ".join(f"`{worse}` and `{better}`" for worse, better in unclear)
            statement = f"this holds, but the difference may be 0 between {named}"
        else:
            statement = "this holds"
        metrics_of.setdefault(statement, []).append(label)
    found = "; on ".join(f"{' and '.join(metrics)} {statement}" for statement, metrics in metrics_of.items())
    seeds = _seeds([by_name[name] for name in names])
    return (
        "The paper ranks the network with LSTM and CBAM first, those with one of the two next, and the one with "
        f"neither last. On {found} ({seeds})."
    )


def _not_better(pairs: Sequence[tuple[str, str]]) -> str:
    """``pairs``: of each, the second should have been better than the first."""
    than: dict[str, list[str]] = {}
    for worse, better in pairs:
        than.setdefault(better, []).append(f"`{worse}`")
    return ", ".join(f"`{better}` is not better than {' and '.join(others)}" for better, others in than.items())


def _against_baselines(by_name: Mapping[str, Row], differences: Differences) -> str | None:
    """Whether the paper's network is ahead of the systems of its Table 1, and whether that is established."""
    whole = by_name.get("lstm_cbam")
    baselines = [by_name[name] for name in BASELINES if name in by_name]
    if whole is None or not baselines:
        return None
    statements, doubts = [], ""
    for label, key, sign in (*LSE, FID):
        ahead = [row["variant"] for row in baselines if sign * whole[key] > sign * row[key]]
        behind = [row["variant"] for row in baselines if sign * whole[key] < sign * row[key]]
        sides = [f"{side} {code_list(names)}" for side, names in (("ahead of", ahead), ("behind", behind)) if names]
        statements.append(f"on {label} {' and '.join(sides) or 'equal'}")
        unclear = [name for name in ahead if key in DIRECTIONS and not is_clear(differences, "lstm_cbam", name, key)]
        if unclear:
            doubts += f" On {label} its lead over {code_list(unclear)} is not established: it may be 0."
    which = f"baseline{'s' if len(baselines) > 1 else ''} of the paper's Table 1"
    return f"`lstm_cbam` against the {which}: {'; '.join(statements)} ({_seeds([whole, *baselines])}).{doubts}"


def _seeds(rows: Sequence[Row]) -> str:
    """Number of seeds behind a statement about averaged rows."""
    numbers = sorted({row["num_seeds"] for row in rows})
    if numbers == [1]:
        return "one seed"
    return f"means over {' to '.join(str(number) for number in (numbers[0], numbers[-1])[: len(numbers)])} seeds"


def _of_all(names: Sequence[str], generators: Sequence[Row], called: str) -> str:
    """The names among those of ``generators``, in the shorter way: the names, or the others."""
    others = [row["variant"] for row in generators if row["variant"] not in names]
    if not names:
        return "none"
    if len(generators) == 1 or len(names) <= len(others) + 1:
        return code_list(names)
    return f"all {len(generators)} {called}" if not others else f"all {called} but {code_list(others)}"
