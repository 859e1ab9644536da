"""``python -m pipeline dub-many``: dubs a list of jobs and prints how many are ok."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.errors import user_errors
from pipeline.cli.model_option import chosen_model
from pipeline.core.choices import Alias, Device
from pipeline.core.errors import DataError
from pipeline.core.layout import Layout, find_root
from pipeline.core.short_paths import short_paths
from pipeline.dubbing.dubber import DEFAULT_VARIANT

MAX_FAILURES = 20
"""Largest number of failed jobs that are printed one by one."""
DUB_MANY_EPILOG = """\
\b
Example of a list, with one job a line:
  face,audio,out,who,in_silence
  anna.mp4,hello.wav,out/anna hello.mp4,,
  two.mp4,hello.wav,out/two hello.mp4,talking,keep
\b
Columns: face, audio and out, and the options of dub with underscores, except --keep-frames. Times are written as
for --start; segments names a CSV file. An empty field means the default. Relative paths start at the folder of the
list.
\b
Result: LIST.results.jsonl beside the list has a JSON object for each job: ok, reason, seconds, num_frames, num_dubbed,
num_missing (frames without the face), faces, and the sync score by judge-1 (lse_c, lse_d, offset_frames).
\b
The same command continues an interrupted list, and tries failed jobs again. Finished jobs are not dubbed again unless
the job, its files or the model have changed.
Exit code: 0 if all jobs are ok, 3 if some failed, 2 for a list or a model that cannot be used, 75 if Ray failed or
another run works at the list.
"""


def dub_many(
    jobs: Annotated[Path, typer.Argument(metavar="LIST", help="CSV file with a job in each line.")],
    variant: Annotated[str, typer.Option(help="Trained variant that generates the mouth.")] = DEFAULT_VARIANT,
    model: Annotated[Path | None, typer.Option(help="Folder of a saved generator. Overrides --variant.")] = None,
    registered: Annotated[
        Alias | None, typer.Option(help="Model with this alias in the MLflow registry. Overrides --variant.")
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=0,
            help="Jobs at a time, each in a process of its own. 1 runs them in this process. 0 takes "
            "runtime.num_workers of params.yaml, by default one per core.",
        ),
    ] = 0,
    score: Annotated[bool, typer.Option(help="Measure the sync of each output with judge-1.")] = True,
    device: Annotated[
        Device, typer.Option(help="Device of the generator. auto is CUDA if it is available, else the CPU.")
    ] = "auto",
) -> None:
    """Dub a list of jobs on all cores, or on the Ray cluster of RAY_ADDRESS. A failed job does not stop the others."""
    with user_errors():
        from pipeline.dubbing.many.run import dub_jobs

        chosen = chosen_model(model, registered, variant)
        done = dub_jobs(jobs, Layout(find_root()), chosen, device=device, num_workers=workers, is_scored=score)
        failed = [row for row in done.rows if not row.ok]
        for row in failed[:MAX_FAILURES]:
            typer.echo(f"line {row.line}: {short_paths(str(row.reason))}")
        if len(failed) > MAX_FAILURES:
            typer.echo(f"{len(failed) - MAX_FAILURES} more failed")
        earlier = f", {done.num_reused} of them by an earlier run" if done.num_reused else ""
        typer.echo(f"{len(done.rows) - len(failed)} of {len(done.rows)} jobs are ok{earlier}; rows: {done.path}")
        if failed:
            raise typer.Exit(DataError.exit_code)
