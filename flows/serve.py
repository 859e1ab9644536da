"""Serves both flows to a Prefect server: ``retrain`` on a schedule, ``reproduce`` on demand."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.runner import Runner
from pydantic import ValidationError

from flows.command import run_flow_command
from flows.processes import end_children
from flows.reproduce import reproduce
from flows.retrain import retrain
from flows.server import address, require_server
from pipeline.core.command_line import run_command
from pipeline.core.errors import UserError
from pipeline.core.layout import CODE_ROOT, Layout, find_root
from pipeline.core.prefect_address import own_server_advice
from pipeline.params import load_params


def deployments(root: Path, cron: str) -> list[RunnerDeployment]:
    """The deployments ``retrain/scheduled`` and ``reproduce/manual``.

    They have no concurrency limit: ``flows.occupancy`` already cancels a run while another flow runs in the checkout.
    Prefect's limit would persist after a server was killed, and would cancel every later run. Raises UserError if
    ``cron`` is not a cron expression.
    """
    try:
        CronSchedule(cron=cron)
    except ValidationError:
        raise UserError(
            f"params.yaml: runtime.retrain_cron is {cron!r}, which is not a cron expression; give five fields, "
            'such as "0 3 * * 1" for Mondays at 03:00 UTC'
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
        entrypoint_type=EntrypointType.MODULE_PATH,
        description=description,
    )
    assert isinstance(made, RunnerDeployment)  # it is a coroutine only inside an event loop
    return made


def require_own(made: Sequence[RunnerDeployment]) -> None:
    """Raise UserError if the server has one of these deployments for another checkout.

    This process would otherwise execute the runs of that checkout.
    """
    with get_client(sync_client=True) as client:
        for deployment in made:
            try:
                known = client.read_deployment_by_name(f"{deployment.flow_name}/{deployment.name}")
            except ObjectNotFound:
                continue
            own, other = deployment.parameters["root"], known.parameters.get("root")
            if other != own:
                raise UserError(
                    f"{deployment.flow_name}/{deployment.name} at {address()} belongs to {other}, not to {own}: one "
                    f"server serves one checkout. For this checkout, {own_server_advice(Path(own))}. If this checkout "
                    f"was moved, run `prefect deployment delete {deployment.flow_name}/{deployment.name}` instead"
                )


class _Runner(Runner):
    """A runner that ends flow runs and their stages on SIGTERM. Prefect's own runner leaves the stages running."""

    def handle_sigterm(self, *args: Any, **kwargs: Any) -> None:
        end_children()
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(lambda: loop.create_task(self.astop()))


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(_command, argv, "python -m flows.serve")


def _command(
    root: Annotated[
        Path | None, typer.Option(help="Checkout. Default: the one that contains the working directory.")
    ] = None,
) -> int:
    """Serve both flows to a Prefect server: retrain on a schedule, reproduce on demand.

    The schedule is runtime.retrain_cron of params.yaml. Serves until SIGTERM or Ctrl-C, then ends every flow run and
    stage that it started.

    \b
    prefect server start                                in one terminal
    export PREFECT_API_URL=http://127.0.0.1:4200/api
    python -m flows.serve                               in another
    prefect deployment run retrain/scheduled            to start one now
    """

    def body() -> int:
        checkout = find_root(root)
        cron = load_params(Layout(checkout).params_path).runtime.retrain_cron
        if address() is None:
            raise UserError(
                "PREFECT_API_URL is not set: a schedule needs a server that stays up. Start one with "
                "`prefect server start` and export PREFECT_API_URL=http://127.0.0.1:4200/api"
            )
        require_server()
        made = deployments(checkout, cron)
        require_own(made)
        os.chdir(CODE_ROOT)  # flow runs import `flows` from the working directory
        runner = _Runner(pause_on_shutdown=False)
        for deployment in made:
            runner.add_deployment(deployment)
        signal.signal(signal.SIGINT, runner.handle_sigterm)
        asyncio.run(runner.start())
        return 0

    return run_flow_command(body)


if __name__ == "__main__":
    raise SystemExit(main())
