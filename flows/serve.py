"""Serves both flows to a Prefect server: ``retrain`` on a schedule, ``reproduce`` on demand."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.runner import Runner
from prefect.server.schemas.schedules import CronSchedule as ServerCronSchedule
from pydantic import ValidationError

from flows.checkout import CHECKOUT_VARIABLE
from flows.command import run_flow_command
from flows.local_server import local_server
from flows.processes import end_children
from flows.reproduce import reproduce
from flows.retrain import retrain
from flows.server import address, require_server
from pipeline.core.command_line import RootOption, run_command
from pipeline.core.errors import UserError
from pipeline.core.layout import CODE_ROOT, Layout, find_root
from pipeline.params import load_params
from pipeline.report.tables import Table


def deployments(root: Path, cron: str) -> list[RunnerDeployment]:
    """The deployments ``retrain/scheduled`` and ``reproduce/manual``. Their tag is the path of the checkout.

    They have no concurrency limit: ``flows.occupancy`` already admits one flow at a time to the checkout. Prefect's
    limit would persist after a server was killed, and would cancel every later run. Raises UserError if ``cron`` is not
    a cron expression.
    """
    try:
        CronSchedule(cron=cron)
    except ValidationError:
        raise UserError(
            f"params.yaml: runtime.retrain_cron is {cron!r}, which is not a cron expression; give five fields, "
            'such as "0 3 * * *" for every day at 03:00 UTC'
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
        tags=[str(root)],
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
            own = deployment.tags[0]
            others = known.tags
            if not others and "root" in known.parameters:  # a deployment of a version that did not tag it
                others = [str(known.parameters["root"])]
            if others and own not in others:
                raise UserError(
                    f"{deployment.flow_name}/{deployment.name} at {address()} belongs to {', '.join(others)}, not to "
                    f"{own}: one server serves one checkout. For this checkout, run `make serve`, which starts a "
                    f"server of its own. If this checkout was moved, run `prefect deployment delete "
                    f"{deployment.flow_name}/{deployment.name}` instead"
                )


def announcement(made: Sequence[RunnerDeployment], root: Path, now: datetime) -> str:
    """What is served, where, when each deployment runs next, and how to start one by hand. ``now`` has a time zone."""
    rows = []
    for deployment in made:
        crons = [s.schedule.cron for s in deployment.schedules or [] if isinstance(s.schedule, CronSchedule)]
        when = [f'"{cron}" (UTC), next on {next_run(cron, now):%a %Y-%m-%d at %H:%M} UTC' for cron in crons]
        rows.append([f"  {deployment.flow_name}/{deployment.name}", ", ".join(when) or "on demand"])
    api = address() or ""
    return "\n".join(
        [
            f"Serving {root}",
            Table(["  deployment", "runs"], rows, num_text=2).plain(),
            f"Prefect's pages: {api.removesuffix('/api')}/deployments",
            f"Start one now: PREFECT_API_URL={api} prefect deployment run {made[0].flow_name}/{made[0].name}",
            "Stop: Ctrl-C",
        ]
    )


def next_run(cron: str, now: datetime) -> datetime:
    """The first time after ``now`` at which a cron expression in UTC applies."""
    (found,) = asyncio.run(ServerCronSchedule(cron=cron, timezone="UTC").get_dates(1, start=now))
    return found


class _Runner(Runner):
    """A runner that ends flow runs and their stages on SIGTERM. Prefect's own runner leaves the stages running."""

    spared: int | None = None
    """Process id of the server that this command started. The flow runs still report to it."""

    def handle_sigterm(self, *args: Any, **kwargs: Any) -> None:
        end_children(self.spared)
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(lambda: loop.create_task(self.astop()))


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(_command, argv, "python -m flows.serve")


def _command(
    with_server: Annotated[
        bool,
        typer.Option("--with-server", help="Start a Prefect server for this checkout too, on the loopback interface."),
    ] = False,
    port: Annotated[
        int | None, typer.Option(help="Port of --with-server. Default: the first free one from 4200.", min=1, max=65535)
    ] = None,
    root: RootOption = None,
) -> int:
    """Serve both flows to a Prefect server: retrain on a schedule, reproduce on demand.

    The schedule is runtime.retrain_cron of params.yaml. Serves until SIGTERM or Ctrl-C, then ends every flow run and
    stage that it started. With --with-server, PREFECT_API_URL is ignored, and the server ends as well.

    \b
    python -m flows.serve --with-server                 the same as `make serve`
    PREFECT_API_URL=http://HOST:4200/api python -m flows.serve     with a server that runs elsewhere
    prefect deployment run retrain/scheduled            to start one now
    """

    def body() -> int:
        checkout = find_root(root)
        made = deployments(checkout, load_params(Layout(checkout).params_path).runtime.retrain_cron)
        if port is not None and not with_server:
            raise UserError("--port is the port of the server that --with-server starts; add it, or leave --port out")
        if with_server:
            with local_server(checkout, port) as server:
                return _serve(checkout, made, server)
        if address() is None:
            raise UserError(
                "PREFECT_API_URL is not set: a schedule needs a server that stays up. Run `make serve`, which starts "
                "one, or start one with `prefect server start` and export PREFECT_API_URL=http://127.0.0.1:4200/api"
            )
        require_server()
        return _serve(checkout, made, None)

    return run_flow_command(body)


def _serve(checkout: Path, made: Sequence[RunnerDeployment], server: int | None) -> int:
    """Serve until a signal. ``server``: process id of the server, if this command started it."""
    if server is None:  # a server of this command belongs to this checkout, even after the checkout was moved
        require_own(made)
    os.chdir(CODE_ROOT)  # flow runs import `flows` from the working directory
    os.environ[CHECKOUT_VARIABLE] = str(checkout)
    runner = _Runner(pause_on_shutdown=False)
    runner.spared = server
    for deployment in made:
        runner.add_deployment(deployment)
    sys.stdout.write(announcement(made, checkout, datetime.now(UTC)) + "\n")
    sys.stdout.flush()
    signal.signal(signal.SIGINT, runner.handle_sigterm)
    asyncio.run(runner.start())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
