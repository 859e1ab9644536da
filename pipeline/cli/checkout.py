"""Commands on the checkout: ``profile`` writes params.yaml, ``verify`` and ``doctor`` check clips and machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.errors import user_errors
from pipeline.core.choices import Source
from pipeline.core.layout import Layout, find_root


def profile(
    name: Annotated[Source, typer.Argument(help="Profile to write; one per data source.")],
    params: Annotated[Path | None, typer.Option(help="File to change. Default: params.yaml of this checkout.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the changes. Write nothing.")] = False,
) -> None:
    """Write a profile's values to params.yaml. Paths are kept.

    The profile replaces source, sizes, widths, steps, learning rates, loss weights and the evaluation's reference
    frame. Paths, seed, variants, promotion rules, runtime settings and comments are kept. Every change is printed.
    """
    with user_errors():
        import yaml

        from pipeline.core import atomic
        from pipeline.params import read_params_text
        from pipeline.params.profiles import apply_profile, next_step

        path = params or Layout(find_root()).params_path
        text, changes = apply_profile(name, read_params_text(path))
        for change in changes:
            typer.echo(f"{change.key}: {change.old} -> {change.new}")
        if dry_run:
            typer.echo(f"{path}: {len(changes)} values would change; nothing was written")
            return
        if changes:
            atomic.write_bytes(path, text.encode())
            typer.echo(f"{path}: profile {name} written, {len(changes)} values changed")
        else:
            typer.echo(f"{path}: already has profile {name}, nothing changed")
        if params is None:
            for line in _share(Layout(path.parent)):
                typer.echo(line)
        typer.echo(f"next: {next_step(yaml.safe_load(text))}")


def share() -> None:
    """Set in dvc.yaml which outputs `dvc push` sends to a remote, as the section share of params.yaml says.

    The outputs of the last run count as well: if they are of another source than params.yaml has, both must be allowed.
    """
    with user_errors():
        for line in _share(Layout(find_root())):
            typer.echo(line)


def _share(layout: Layout) -> list[str]:
    """Correct ``push`` in the checkout's dvc.yaml. Returns what `dvc push` sends from now on, one line per type."""
    from pipeline.core import atomic
    from pipeline.params import load_params
    from pipeline.params.sharing import listed_source, marked_outputs, may_share, set_sharing

    params, path = load_params(layout.params_path), layout.root / "dvc.yaml"
    listed = listed_source(layout.root / "dvc.lock")
    sources = dict.fromkeys([params.dataset.source, *([listed] if listed else [])])
    allowed = may_share(params, sources)
    before = path.read_text()
    after = set_sharing(before, allowed)
    if after != before:
        atomic.write_text(path, after)
    outputs = {kind: [out.path for out in marked_outputs(after) if out.type == kind] for kind in allowed}
    names = " and ".join(sources)
    return [
        f"{kind} of {names}: `dvc push` {'sends' if allowed[kind] else 'does not send'} {', '.join(outputs[kind])}"
        for kind in allowed
    ] + [f"{path}: {'changed' if after != before else 'already so, nothing changed'}"]


def verify() -> None:
    """Compare GRID or LRS2 clips with the published numbers.

    Exit code 1 if the numbers differ.
    """
    with user_errors():
        from pipeline.corpora import verify as counting
        from pipeline.corpora.roots import corpus_root
        from pipeline.params import load_params

        layout = Layout(find_root())
        params = load_params(layout.params_path)
        root = corpus_root(params, layout)
        if params.dataset.source == "grid":
            counts = counting.verify_grid(root, params.dataset.grid.speakers)
        else:
            counts = counting.verify_lrs2(root)
    typer.echo(f"{root}\n{counting.table_of(counts).plain()}")
    if not all(count.is_complete for count in counts):
        raise typer.Exit(1)


def doctor(
    no_track: Annotated[bool, typer.Option("--no-track", help="Record nothing in MLflow.")] = False,
) -> None:
    """Check this machine and its clips.

    The checks cover packages, GPU, disk, services, and sizes, sound and rejects of the clips. Writes report.md,
    distributions.png and contact_sheet.png to artifacts/doctor. Exit code 1 if a check fails.
    """
    try:
        from pipeline.doctor.examine import REPORT, STAGE, examine, track
        from pipeline.doctor.report import terminal
    except ImportError as error:  # a package that the checks themselves need is missing
        typer.echo(f"fail  packages  {error}\n      -> `make install`", err=True)
        raise typer.Exit(1) from None
    with user_errors():
        layout = Layout(find_root())
        found = examine(layout)
        typer.echo(terminal(found))
        typer.echo(f"\nreport: {layout.stage_dir(STAGE) / REPORT}")
        if not no_track:
            typer.echo(track(found, layout))
    raise typer.Exit(int(found.has_failed))
