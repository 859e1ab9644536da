"""A store of MLflow runs in memory, for tests of the way of records."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import DatasetInput

from pipeline.core.layout import Layout
from pipeline.tracking.sender import OpenedRun


class FakeStore:
    """A store of runs in memory. ``fault`` is raised by every request while it is set; ``answers`` lets them pass."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.rejects: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()
        self.num_requests = 0
        self.opened: list[str] = []
        self.steps: list[int] = []
        self.params: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.files: dict[str, str] = {}
        self.inputs: list[DatasetInput] = []
        self.statuses: list[tuple[str, str]] = []

    def request(self) -> None:
        self.num_requests += 1
        self.answers.wait(30)
        if self.fault:
            raise self.fault

    def get_run(self, run: str) -> Any:
        self.request()

        class Found:
            data = self

        return Found

    def search_experiments(self, max_results: int) -> list[Any]:
        self.request()
        return []

    def log_batch(self, run: str, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        self.request()
        self.steps += [metric.step for metric in metrics]
        self.params |= {param.key: param.value for param in params}
        self.tags |= {tag.key: tag.value for tag in tags}

    def log_artifact(self, run: str, path: str, folder: str | None) -> None:
        self.request()
        if self.rejects:
            raise self.rejects
        self.files[f"{folder}/{Path(path).name}"] = Path(path).read_text()

    def log_artifacts(self, run: str, path: str, folder: str | None) -> None:
        for file in sorted(Path(path).iterdir()):
            self.log_artifact(run, str(file), folder)

    def log_dict(self, run: str, content: Mapping[str, Any], path: str) -> None:
        self.request()
        self.files[path] = json.dumps(content)

    def log_inputs(self, run: str, datasets: Any) -> None:
        self.request()
        self.inputs += datasets

    def set_terminated(self, run: str, status: str, end_ms: int) -> None:
        self.request()
        self.statuses.append((run, status))

    def open(self, client: Any, layout: Layout, run: Mapping[str, Any]) -> OpenedRun:
        self.request()
        self.opened.append(run["key"])
        return OpenedRun(f"id-{run['key']}", None)
