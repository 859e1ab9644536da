"""Serve both flows to a Prefect server: ``retrain`` on its schedule, ``reproduce`` on request.

prefect server start                                           in one terminal
export PREFECT_API_URL=http://127.0.0.1:4200/api
python -m flows.serve                                          in another
prefect deployment run retrain/scheduled                       to start one now
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.runner import Runner
from prefect.settings import PREFECT_API_URL
from pydantic import ValidationError

from flows.processes import end_children
from flows.reproduce import reproduce, run_command_line
from flows.retrain import retrain
from flows.tasks import CODE_DIR
from pipeline.layout import Layout, find_root
from pipeline.params import load_params


def deployments(root: Path, cron: str) -> list[RunnerDeployment]:
    """``retrain/scheduled`` and ``reproduce/manual``; a run that finds one running is cancelled.

    Raises ValueError for a schedule that is no cron expression.
    """
    try:
        CronSchedule(cron=cron)
    except ValidationError:
        raise ValueError(
            f"params.yaml: runtime.retrain_cron is {cron!r}, which is no cron expression: it takes five fields, "
            'such as "0 3 * * 1" for Mondays at 03:00'
        ) from None
    return [
        _deployment(retrain, "scheduled", root, "Reproduce, gate the model, move the champion", cron),
        _deployment(reproduce, "manual", root, "Reproduce the pipeline"),
    ]


def _deployment(
    flow: Flow[Any, Any], name: str, root: Path, description: str, cron: str | None = None
) -> RunnerDeployment:
    made = flow.to_deployment(
        name=name,
        cron=cron,
        parameters={"root": str(root)},
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        entrypoint_type=EntrypointType.MODULE_PATH,
        description=description,
    )
    assert isinstance(made, RunnerDeployment)  # a coroutine only inside an event loop
    return made


class _Runner(Runner):
    """On SIGTERM ends each flow run together with its stage; Prefect's would kill the one and leave the other."""

    def handle_sigterm(self, *args: Any, **kwargs: Any) -> None:
        end_children()
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(lambda: loop.create_task(self.astop()))


def main(argv: list[str] | None = None) -> int:
    """Serves until SIGTERM or Ctrl-C; then no flow run and no stage stays behind."""
    parser = argparse.ArgumentParser(prog="python -m flows.serve", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--root", type=Path, help="the checkout (default: around the working directory)")
    arguments = parser.parse_args(argv)

    def body() -> int:
        root = find_root(arguments.root)
        cron = load_params(Layout(root).params_path).runtime.retrain_cron
        if not PREFECT_API_URL.value():
            raise ValueError(
                "PREFECT_API_URL is not set: a schedule needs a server that stays up. Start one with "
                "`prefect server start` and export PREFECT_API_URL=http://127.0.0.1:4200/api"
            )
        os.chdir(CODE_DIR)  # flow runs import `flows` from their working directory
        runner = _Runner(pause_on_shutdown=False)
        for deployment in deployments(root, cron):
            runner.add_deployment(deployment)
        signal.signal(signal.SIGINT, runner.handle_sigterm)
        asyncio.run(runner.start())
        return 0

    return run_command_line(body)


if __name__ == "__main__":
    raise SystemExit(main())
