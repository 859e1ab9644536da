"""The texts that are made from the gate's decision: a model's metrics, and the message of the results' commit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.report.tables import number_text

TRAILER = "Lipsmith-Promotion"
"""Last line of a commit's message. It marks the commits that may be built on, and has the digest of the model."""


def shown_scores(model: Mapping[str, Any]) -> dict[str, float | None]:
    """LSE-D, LSE-C and FID of a model in the gate's decision. LSE is None if the evaluator cannot judge the clips."""
    lse = {"LSE-D": model["lse_d"], "LSE-C": model["lse_c"]}
    return {**(dict.fromkeys(lse) if model.get("unfit") else lse), "FID": model["fid"]}


def promotion_message(decision: Mapping[str, Any]) -> str:
    """The commit's message: the version, the reason of the decision, and the metrics beside the former champion's.

    If the gate found that the model is the champion already, there are no metrics of a former champion.
    """
    challenger, champion = decision["challenger"], decision["champion"]
    version = f"version {challenger['version']} of {decision['registered_model']}"
    if is_champion := decision["outcome"] == "already_champion":
        champion = None
    lines = [f"Results of the champion, {version}" if is_champion else f"Promote {version}", "", decision["reason"], ""]
    before = shown_scores(champion) if champion else {}
    for label, value in shown_scores(challenger).items():
        earlier = f" (champion before: {number_text(before[label], '.4f')})" if before else ""
        lines.append(f"{label}: {number_text(value, '.4f')}{earlier}")
    return "\n".join([*lines, "", f"{TRAILER}: {challenger['model_sha256']}", ""])
