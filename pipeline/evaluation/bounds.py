"""The fitness of the evaluator as ``compare`` states it, for commands that score a single model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.core.artifacts import read_json
from pipeline.core.choices import BOUNDS
from pipeline.core.layout import Layout
from pipeline.metrics.fitness import fitness_of_rows


def with_fitness_of_bounds(layout: Layout, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """``metrics`` of a model, with the fitness that the rows `real` and `copy_input` of the checkout give.

    The metrics have the share of real videos in sync only. These rows also show whether `copy_input` scores better than
    `real`. Without both rows under the protocol of ``metrics``, the fitness is unchanged.
    """
    digest = metrics.get("protocol", {}).get("sha256")
    paths = {name: layout.metrics_path("evaluate", name) for name in BOUNDS}
    rows = {name: read_json(path) for name, path in paths.items() if path.is_file()}
    protocols = [row.get("protocol", {}) for row in rows.values()]
    if digest is None or [protocol.get("sha256") for protocol in protocols] != [digest] * len(BOUNDS):
        return dict(metrics)
    found = fitness_of_rows(rows, protocols[0]["evaluator"])
    return {**metrics, "fitness": {**metrics.get("fitness", {}), "is_fit": found.is_fit, "text": found.text}}
