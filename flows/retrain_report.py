"""The report of a retraining: verdict, drift, metrics of both models, rules, commit, stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flows.promotion import shown_scores
from flows.reproduce import outcome_table
from flows.saved_results import SavedResults
from flows.tasks import StageResult
from pipeline.report.tables import Table, number_text


def headline(
    results: list[StageResult], decision: dict[str, Any] | None, fault: str = "", why_no_gate: str = ""
) -> str:
    """The outcome of the run in one line. ``fault``: why the gate failed. ``why_no_gate``: why it was left out."""
    if fault:
        return f"the gate failed: {fault.splitlines()[-1]}"
    if decision is None:
        failed = ", ".join(r.stage for r in results if r.outcome == "failed")
        if why_no_gate and not failed:
            return f"reproduced without the gate: {why_no_gate}"
        return f"failed: {failed}; the gate did not run"
    verdict = f"{decision['outcome']}: {decision['reason']}"
    is_same = all(r.outcome == "up_to_date" for r in results)
    if is_same and not decision["is_registry_changed"]:
        return f"no change ({verdict})"
    return verdict


def report(
    results: list[StageResult],
    decision: dict[str, Any] | None,
    fault: str = "",
    drift: dict[str, Any] | None = None,
    saved: SavedResults | None = None,
    *,
    why_no_gate: str = "",
    changes: Sequence[str] = (),
) -> str:
    """Markdown with the verdict, the drift of the clips, both models' metrics, each rule with both values, the commit
    of the results and every stage's outcome."""
    parts = [f"# Retraining: {headline(results, decision, fault, why_no_gate)}"]
    parts.append(changes_text(changes))
    if fault:
        parts.append(f"```\n{fault}\n```")
    if drift:
        parts.append(f"{drift['text']}\n\n{drift_table(drift)}")
    if decision:
        parts += [
            _figures(decision),
            _rescoring(decision),
            _known_clips(decision),
            _rules(decision),
            _aliases(decision),
        ]
    if saved:
        parts.append(saved_table(saved))
    parts.append(f"## Stages\n\n```\n{outcome_table(results)}\n```")
    parts += [f"```\n{r.reason}\n```" for r in results if r.outcome == "failed"]
    return "\n\n".join(part for part in parts if part) + "\n"


def not_retrained(drift: dict[str, Any], changes: Sequence[str] = ()) -> str:
    """Markdown of a run that ended because of the drift of the clips, or because there was none."""
    parts = [f"# Retraining: not retrained: {drift['text']}", changes_text(changes), drift_table(drift)]
    return "\n\n".join(part for part in parts if part) + "\n"


def changes_text(changes: Sequence[str]) -> str:
    """A sentence on the values that the run changed in ``params.yaml``; empty if there are none."""
    return f"Changed in params.yaml for this run: {', '.join(changes)}. The file keeps them." if changes else ""


def drift_table(drift: dict[str, Any]) -> str:
    """Markdown table of the measured columns; empty if none was measured."""
    rows = [
        [c["column"], f"{c['psi']:.3f}", "-" if c["ks"] is None else f"{c['ks']:.3f}", "yes" if c["drifts"] else "no"]
        for c in drift["columns"]
    ]
    return Table(["column", "PSI", "KS", "drift"], rows, num_text=1).markdown() if rows else ""


def _figures(decision: dict[str, Any]) -> str:
    rows = []
    for role in ("challenger", "champion"):
        if model := decision[role]:
            figures = [number_text(value, ".4f") for value in shown_scores(model).values()]
            digests = [model[key][:12] for key in ("model_sha256", "evaluation_digest")]
            rows.append([role, model["version"], *figures, _clips(model), *digests])
    header = ["model", "version", "LSE-D", "LSE-C", "FID", "clips", "weights", "evaluation"]
    table = Table(header, rows, num_text=2).markdown()
    unfit = decision["challenger"].get("unfit")
    return f"{table}\n\nLSE is left out. {unfit}" if unfit else table


def _clips(model: dict[str, Any]) -> str:
    """Number of clips behind the metrics; a dash if it is not recorded."""
    if model["num_clips"] is None:
        return "-"
    return f"{model['num_clips']}" + (f" ({model['num_failed']} failed)" if model["num_failed"] else "")


def _rescoring(decision: dict[str, Any]) -> str:
    """A sentence on the rescoring of the champion; empty if the champion was not scored again."""
    rescoring = decision["rescoring"]
    if rescoring is None:
        return ""
    if rescoring["fault"]:
        return f"The champion could not be scored again ({rescoring['cause']}): {rescoring['fault']}"
    return f"The champion was scored again: {rescoring['cause']}."


def _known_clips(decision: dict[str, Any]) -> str:
    """A sentence on held-out clips that were in the champion's training split."""
    champion = decision["champion"]
    if not champion or decision["outcome"] == "already_champion":
        return ""
    known = champion["num_known_clips"]
    if known is None:
        return "The champion's training clips are not recorded, so some of the held-out clips may be among them."
    if known == 0:
        return "The champion was trained on none of the held-out clips."
    return f"The champion was trained on {known} of the clips that are now held out, which can only improve its scores."


def _rules(decision: dict[str, Any]) -> str:
    rows = [
        [
            r["rule"],
            r["metric"],
            *(
                f"{r[key]:.4f}" if isinstance(r[key], float) else str(r[key])
                for key in ("challenger", "champion", "limit")
            ),
            "passed" if r["passed"] else "**failed**",
            r["note"] or "-",
        ]
        for r in decision["rules"]
    ]
    header = ["rule", "metric", "challenger", "champion", "limit", "verdict", "note"]
    return Table(header, rows, num_text=len(header)).markdown() if rows else ""


def saved_table(saved: SavedResults) -> str:
    """Markdown with branch and commit of the results, where their files were sent, and what is missing."""
    row = [saved.branch, saved.commit[:12] or "none", saved.remote or "not sent"]
    table = Table(["branch", "commit", "dvc push"], [row], num_text=3).markdown()
    return "\n\n".join([table, *(f"Warning: {warning}." for warning in saved.warnings)])


def _aliases(decision: dict[str, Any]) -> str:
    aliases = [f"{alias} = version {v}" for alias, v in sorted(decision["aliases"].items())]
    return f"Registry `{decision['registered_model']}`: {', '.join(aliases)}."
