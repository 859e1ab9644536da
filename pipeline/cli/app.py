"""``python -m pipeline app``: the web app, on this machine only unless another host is given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.app.settings import LABEL, AppAddress, AppLimits
from pipeline.cli.errors import user_errors
from pipeline.core.choices import Device
from pipeline.core.layout import Layout, find_root

_ADDRESS, _LIMITS = AppAddress(), AppLimits()


def serve_app(
    model: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of a saved generator to offer; may be repeated. Default: the champion and other aliases of "
            "the registry, and all trained variants."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Others than this machine's own need --user.")
    ] = _ADDRESS.host,
    port: Annotated[int, typer.Option(help="Port of the page.", min=1, max=65535)] = _ADDRESS.port,
    user: Annotated[
        str | None,
        typer.Option(help="Name to log in with. Its password is in the variable LIPSMITH_APP_PASSWORD."),
    ] = None,
    label: Annotated[str, typer.Option(metavar="TEXT", help="Small text in a corner of each result.")] = LABEL,
    no_label: Annotated[
        bool, typer.Option("--no-label", help="Draw no text into results. The metadata still marks them.")
    ] = False,
    max_file_mb: Annotated[int, typer.Option(help="Largest size of an uploaded file, MB.")] = _LIMITS.max_file_mb,
    max_seconds: Annotated[int, typer.Option(help="Longest video and longest voice, s.")] = _LIMITS.max_seconds,
    max_side_px: Annotated[int, typer.Option(help="Longest side of a frame, pixels.")] = _LIMITS.max_side_px,
    max_waiting: Annotated[int, typer.Option(help="Number of requests that may wait.")] = _LIMITS.max_waiting,
    keep_minutes: Annotated[
        int, typer.Option(help="Time after which uploads and results are removed, minutes.")
    ] = _LIMITS.keep_minutes,
    device: Annotated[
        Device, typer.Option(help="Device of the generator. auto is CUDA if it is available, else the CPU.")
    ] = "auto",
) -> None:
    """Serve a page on which people dub videos without a terminal. Needs the extra `app` (`make app` installs it).

    The page requires consent and marks results as generated. Files are kept in .scratch/app of the checkout.
    """
    with user_errors():
        limits = AppLimits(
            max_file_mb=max_file_mb,
            max_seconds=max_seconds,
            max_side_px=max_side_px,
            max_waiting=max_waiting,
            keep_minutes=keep_minutes,
        )
        address = AppAddress(host=host, port=port, user=user)
        layout = Layout(find_root())
        address.credentials()  # so that a refused address is the only message
        typer.echo("the app is starting; its address follows in some seconds", err=True)
        from pipeline.app.server import running_app, serve_until_interrupted

        with running_app(layout, address, limits, model or (), label=None if no_label else label, device=device) as url:
            serve_until_interrupted(url)
