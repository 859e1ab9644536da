"""Parameters and metrics in requests of the size that MLflow accepts. Sending the same again changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARAMS_A_REQUEST = 100
METRICS_A_REQUEST = 500
_NEWEST = "param."
"""Beginning of the tags with newest values. Other tags, such as ``variant``, may have the name of a parameter."""
MetricPoint = tuple[str, float, int, int]
"""Name, value, time in milliseconds since 1970, and step of one scalar."""


def send_params(client: MlflowClient, run: str, params: Mapping[str, str]) -> None:
    """Log parameters of a run.

    MLflow cannot change a parameter. If a value differs from the known one, as in an evaluation that is repeated with
    other settings, the tag ``param.NAME`` holds the newest value.
    """
    from mlflow.entities import Param, RunTag

    if not params:
        return
    data = client.get_run(run).data
    tagged = {name.removeprefix(_NEWEST): tag for name, tag in data.tags.items() if name.startswith(_NEWEST)}
    newest = data.params | tagged
    new = [Param(name, value) for name, value in params.items() if name not in data.params]
    for start in range(0, len(new), PARAMS_A_REQUEST):
        client.log_batch(run, params=new[start : start + PARAMS_A_REQUEST])
    changed = [RunTag(f"{_NEWEST}{name}", value) for name, value in params.items() if newest.get(name, value) != value]
    if changed:
        client.log_batch(run, tags=changed)


def send_metrics(client: MlflowClient, run: str, points: Sequence[MetricPoint]) -> None:
    """Log scalars. MLflow stores a point once, however often it is sent."""
    from mlflow.entities import Metric

    for start in range(0, len(points), METRICS_A_REQUEST):
        client.log_batch(run, metrics=[Metric(*point) for point in points[start : start + METRICS_A_REQUEST]])
