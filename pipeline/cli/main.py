"""``python -m pipeline``: scales, dubbing, doctor, corpora, weights. Heavy imports wait until a command needs them."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.core.logs import log_to_stderr, wants_tracebacks

if TYPE_CHECKING:
    from pipeline.core.layout import Layout

EXIT_USER_ERROR = 2

EPILOG = """\
\b
The pipeline itself runs through DVC and Prefect:
  dvc repro                              every stage whose inputs changed
  dvc repro train_gan@lstm_cbam          one stage and what it needs
  python -m flows.reproduce [--plan]     the same graph as a Prefect flow; --plan says what would run and why
  python -m flows.retrain                look for new clips, reproduce, compare with the champion, promote
  python -m flows.serve                  retrain on runtime.retrain_cron of params.yaml, reproduce on demand
  python -m pipeline.promote --variant V --force    make V's model the champion whatever the gate says
  make ui                                every run in MLflow: http://127.0.0.1:5000/#/experiments
\b
Stages, each runnable alone as python -m pipeline.stages.NAME:
  download  preprocess  sync_filter  train_syncnet  train_evaluator  train_gan --variant V  evaluate --variant V
  compare
"""

app = typer.Typer(
    help="Raw talking-face clips in, a trained, scored and comparable lip-sync model out.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
weights_app = typer.Typer(help="`weights fetch [NAME]`: published weights, checked.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")


@app.callback()
def before_any_command() -> None:
    log_to_stderr()


class ProfileName(StrEnum):
    demo = "demo"
    grid = "grid"
    lrs2 = "lrs2"
    folder = "folder"


class Alias(StrEnum):
    champion = "champion"
    previous = "previous"
    challenger = "challenger"


class Length(StrEnum):
    audio = "audio"
    video = "video"


class Fill(StrEnum):
    pingpong = "pingpong"
    loop = "loop"


class OnMissing(StrEnum):
    auto = "auto"
    keep = "keep"
    error = "error"


class Reference(StrEnum):
    first = "first"
    same = "same"


class Published(StrEnum):
    inception = "inception"
    syncnet_v2 = "syncnet_v2"
    syncnet_example = "syncnet_example"


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@app.command()
def profile(
    name: Annotated[ProfileName, typer.Argument(help="The scale to write.")],
    params: Annotated[
        Path | None, typer.Option(help="File to change; the checkout's params.yaml if not given.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change only.")] = False,
) -> None:
    """Write the params.yaml of a scale, keeping your paths.

    Source, sizes, widths, steps, rates, weights of losses and the evaluation's reference are replaced, each change is
    printed; paths, seed, variants, rules, runtime settings and comments stay yours.
    """
    with _user_errors():
        import yaml

        from pipeline.core import atomic
        from pipeline.params.profiles import apply_profile, next_step

        path = params or _layout().params_path
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; bring it back with `git restore params.yaml`")
        old = path.read_bytes()
        text, changes = apply_profile(name.value, old.decode())
        for change in changes:
            typer.echo(f"{change.key}: {change.old} -> {change.new}")
        if dry_run:
            typer.echo(f"{path}: {len(changes)} values would change; nothing was written")
            return
        if changes:
            atomic.write_bytes(path, text.encode())
            typer.echo(f"{path}: profile {name.value} written, {len(changes)} values changed")
        else:
            typer.echo(f"{path}: has profile {name.value} already, nothing changed")
        typer.echo(f"next: {next_step(yaml.safe_load(text))}")


@app.command()
def dub(
    face: Annotated[Path, typer.Option(help="Video (or picture) of one speaker.")],
    audio: Annotated[Path, typer.Option(help="Speech: any sound file, or a video's sound.")],
    out: Annotated[Path, typer.Option(help="MP4 to write; replaced if it exists.")],
    variant: Annotated[str, typer.Option(help="Which trained variant draws the mouth.")] = "lstm_cbam",
    model: Annotated[Path | None, typer.Option(help="Folder of a saved generator, in place of --variant.")] = None,
    registered: Annotated[
        Alias | None, typer.Option(help="That model of the MLflow registry, in place of --variant.")
    ] = None,
    length: Annotated[
        Length, typer.Option(help="Whose length the output has; sound too short for a video ends in silence.")
    ] = Length.audio,
    fill: Annotated[
        Fill, typer.Option(help="How a video shorter than the sound goes on: back and forth, or over again.")
    ] = Fill.pingpong,
    on_missing: Annotated[
        OnMissing,
        typer.Option(help="Frames without a face: keep them as they are, or stop; auto stops where there is no face."),
    ] = OnMissing.auto,
    reference: Annotated[
        Reference,
        typer.Option(
            help="Shows whose face it is: the shot's first frame, or the same frame, whose mouth shows through."
        ),
    ] = Reference.first,
    device: Annotated[Device, typer.Option(help="auto takes CUDA where there is one.")] = Device.auto,
) -> None:
    """Make the face in a video speak other words.

    The output keeps the video's frame rate and size; an odd side grows by one pixel, since H.264 wants even ones.
    Only the mouth region of the picture is drawn anew. A small face is searched for in larger and larger pictures.
    """
    with _user_errors():
        from pipeline.cli.dub import dub_video, generator_folder, summary_line

        layout = _layout()
        with generator_folder(layout, model, registered, variant) as folder:
            summary = dub_video(
                layout,
                face,
                audio,
                out,
                folder,
                device.value,
                _show_progress,
                length=length.value,
                fill=fill.value,
                on_missing=on_missing.value,
                reference=reference.value,
            )
        typer.echo(summary_line(summary))


@app.command()
def score(
    generated: Annotated[Path, typer.Option(help="Folder of videos that some system made, with their sound.")],
    reference: Annotated[Path, typer.Option(help="Folder of the real videos they were made from, by the same names.")],
    out: Annotated[
        Path | None, typer.Option(help="JSON to write; each clip's figures go into a CSV beside it.")
    ] = None,
    against: Annotated[Path | None, typer.Option(help="Such a JSON of another system, to compare with.")] = None,
) -> None:
    """Score videos of any system: LSE-D, LSE-C, FID, KID and jitter, with the pipeline's own judges.

    The face is looked for in the real video; both are cut out there. A clip that cannot be scored is named and counted:
    exit code 0 as long as one was scored.
    """
    with _user_errors():
        from pipeline.cli.score import score_folders

        for line in score_folders(_layout(), generated, reference, out, against):
            typer.echo(line)


@app.command("score-model")
def score_model(
    model: Annotated[Path, typer.Option(help="Folder of a saved generator.")],
    out: Annotated[Path | None, typer.Option(help="JSON to write.")] = None,
) -> None:
    """Score a generator on the held-out clips under unseen audio, as the stage evaluate scores variants.

    Says whether the comparison in artifacts/compare was made under the same protocol, and if so shows its rows, too.
    """
    with _user_errors():
        from pipeline.cli.score import score_model as score

        for line in score(_layout(), model, out):
            typer.echo(line)


@app.command()
def adopt(
    released: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Generator or expert as Wav2Lip's authors publish it, such as wav2lip_gan.pth."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write the model to.")],
) -> None:
    """Make a model of Wav2Lip's published weights: a generator to dub and compare with, or an expert.

    They are not part of lipsmith, and their licence is their authors': research and personal use, nothing commercial.
    """
    with _user_errors():
        from pipeline.inference.generator_kinds import KINDS
        from pipeline.inference.wav2lip_weights import adopt as adopt_file

        kind = adopt_file(released, out)
        if kind in KINDS:
            typer.echo(f"{out}: a generator; next: python -m pipeline score-model --model {out}, or dub --model {out}")
        else:
            typer.echo(f"{out}: a sync expert; next: python -m pipeline freeze-scorer --from {out}")


@app.command("freeze-scorer")
def freeze_scorer(
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Folder of a sync expert, or syncnet_v2.model; the expert trained here if not given."
        ),
    ] = None,
) -> None:
    """Copy a trained sync expert to weights/ and let the stage sync_filter judge clips with it.

    Train once, freeze, `dvc repro`: clips out of sync are corrected or left out, and everything after is trained anew.
    """
    with _user_errors():
        from pipeline.sync_filter.freeze import freeze_scorer as freeze

        path, changes = freeze(_layout(), source)
    for change in changes:
        typer.echo(f"{change.key}: {change.old} -> {change.new}")
    typer.echo(f"{path}: {'judges from now on; next: dvc repro' if changes else 'judges already, nothing changed'}")
    if changes:
        typer.echo("null for both values in params.yaml ends that")
    if source is None:
        from pipeline.evaluation.evaluator_quality import skill_of

        typer.echo(skill_of(_layout(), "train_syncnet", "the expert"))


@app.command()
def verify() -> None:
    """Compare the GRID or LRS2 clips on disk with the numbers their publishers state; exit code 1 where they differ."""
    with _user_errors():
        from pipeline.corpora import verify as counting
        from pipeline.corpora.roots import corpus_root
        from pipeline.params import load_params

        layout = _layout()
        params = load_params(layout.params_path)
        root = corpus_root(params, layout.raw_dir)
        if params.dataset.source == "grid":
            counts = counting.verify_grid(root, params.dataset.grid.speakers)
        else:
            counts = counting.verify_lrs2(root)
    typer.echo(f"{root}\n{counting.table(counts)}")
    if not all(count.is_complete for count in counts):
        raise typer.Exit(1)


@app.command()
def doctor(
    no_track: Annotated[bool, typer.Option("--no-track", help="Leave MLflow alone.")] = False,
) -> None:
    """Look at this place and its clips: packages, GPU, disk, services; sizes, sound and losses of the data.

    Writes artifacts/doctor: report.md, distributions.png, contact_sheet.png. Exit code 1 where a check fails.
    """
    try:
        from pipeline.doctor.examine import REPORT, STAGE, examine, track
        from pipeline.doctor.report import terminal
    except ImportError as error:  # even its own needs are not met
        typer.echo(f"fail  packages  {error}\n      -> `make install`", err=True)
        raise typer.Exit(1) from None
    with _user_errors():
        layout = _layout()
        found = examine(layout)
        typer.echo(terminal(found))
        typer.echo(f"\nreport: {layout.stage_dir(STAGE) / REPORT}")
        if not no_track:
            typer.echo(track(found, layout))
    raise typer.Exit(int(found.has_failed))


@weights_app.command()
def fetch(
    name: Annotated[
        Published,
        typer.Argument(
            help="inception: FID's network, which `dvc repro` needs (87 MB); syncnet_v2: the published evaluator "
            "behind LSE (55 MB); syncnet_example: the video of its published scores."
        ),
    ] = Published.inception,
) -> None:
    """Fetch a published file into weights/ and check it; one that is there is only checked.

    Addresses, sizes and hashes of all but inception are in params.yaml, section weights. A fetch that stopped resumes.
    """
    with _user_errors():
        from pipeline.cli.weights import FETCHERS

        for line in FETCHERS[name](_layout()):
            typer.echo(line)


def _layout() -> Layout:
    from pipeline.core.layout import Layout, find_root

    return Layout(find_root())


def _show_progress(what: str, done: int, total: int) -> None:
    """One line that counts up, on a terminal only."""
    if sys.stderr.isatty() and (done % 10 == 0 or done == total):
        end = "\n" if done == total else ""
        of_all = f"/{total}" if total else ""
        print(f"\r{what}: {done}{of_all} frames", end=end, file=sys.stderr, flush=True)


@contextmanager
def _user_errors() -> Iterator[None]:
    """What the user can put right becomes a message and exit code 2; anything else is a bug and shows its trace."""
    try:
        yield
    except Exception as error:
        media_errors = sys.modules.get("pipeline.media.errors")
        kinds: tuple[type[Exception], ...] = (ValueError, OSError)
        if media_errors is not None:
            kinds = (*kinds, media_errors.MediaError)
        if not isinstance(error, kinds):
            raise
        if wants_tracebacks():
            traceback.print_exception(error)
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_USER_ERROR) from None
