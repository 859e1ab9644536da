"""``python -m pipeline weights fetch``: downloads and verifies files that others publish.

Each ``fetch_`` function puts its file into the weights folder and returns the lines to print. It raises WeightsError if
no address provides the expected file or if the folder has another file of that name, and ParamsError.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.errors import user_errors
from pipeline.core.errors import UserError
from pipeline.core.layout import Layout, find_root

WeightsName = Literal["inception", "syncnet_v2", "syncnet_example", "face_mesh"]
SYNCNET_NAME = "syncnet_v2.model"
EXAMPLE_NAME = "example.avi"


def fetch_weights(
    name: Annotated[
        WeightsName,
        typer.Argument(
            help="inception: FID's network, required by `dvc repro` (87 MB). syncnet_v2: the published evaluator for "
            "LSE (55 MB). syncnet_example: the video with published scores of that evaluator. face_mesh: the network "
            "that finds face landmarks for the lip metrics (2 MB)."
        ),
    ] = "inception",
) -> None:
    """Download a published file to weights/ and verify it. An existing file is only verified.

    Addresses, sizes and hashes, except for inception and face_mesh, are in params.yaml, section weights. An interrupted
    download resumes.
    """
    with user_errors():
        for line in FETCHERS[name](Layout(find_root())):
            typer.echo(line)


def fetch_inception(layout: Layout) -> list[str]:
    """The Inception network for FID."""
    from pipeline.inference.pretrained import ensure_inception

    return [f"{ensure_inception(layout.weights_dir)}: ready"]


def fetch_face_mesh(layout: Layout) -> list[str]:
    """The network of the face landmarks, for the lip metrics."""
    from pipeline.inference.pretrained import FACE_MESH, ensure

    return [f"{ensure(FACE_MESH, layout.weights_dir)}: ready"]


def fetch_syncnet(layout: Layout) -> list[str]:
    """The evaluator of Chung & Zisserman, "Out of time", with which other work reports LSE-D and LSE-C."""
    from pipeline.inference.pretrained import Weight, ensure
    from pipeline.params import load_params

    known = load_params(layout.params_path).weights.syncnet_v2
    weight = Weight(SYNCNET_NAME, known.urls, known.size_bytes, known.sha256, _syncnet_problem)
    path = ensure(weight, layout.weights_dir)
    named = path.relative_to(layout.root) if path.is_relative_to(layout.root) else path
    return [
        *_ready(path, "syncnet_v2", known.sha256),
        f"next: set evaluate.lse.weights in params.yaml to {named.as_posix()}, then run `dvc repro`",
    ]


def fetch_example(layout: Layout) -> list[str]:
    """The video for which syncnet_python's README states the scores of that evaluator."""
    from pipeline.inference.pretrained import Weight, ensure
    from pipeline.params import load_params

    known = load_params(layout.params_path).weights.syncnet_example
    weight = Weight(EXAMPLE_NAME, known.urls, known.size_bytes, known.sha256, _video_problem)
    path = ensure(weight, layout.weights_dir)
    return [
        *_ready(path, "syncnet_example", known.sha256),
        "next, after fetching syncnet_v2: python -m pytest tests/pipeline/evaluation/test_official_weights.py",
    ]


FETCHERS: dict[WeightsName, Callable[[Layout], list[str]]] = {
    "inception": fetch_inception,
    "syncnet_v2": fetch_syncnet,
    "syncnet_example": fetch_example,
    "face_mesh": fetch_face_mesh,
}


def _ready(path: Path, key: str, sha256: str | None) -> list[str]:
    if sha256 is not None:
        return [f"{path}: ready"]
    from pipeline.core.digest import sha256_of

    return [
        f"{path}: ready, but its hash was not verified",
        f"to verify the next download, set weights.{key}.sha256 in params.yaml to {sha256_of(path)}",
    ]


def _syncnet_problem(path: Path) -> str:
    from pipeline.inference.lse_evaluator import read_official

    try:
        read_official(path)
    except UserError as error:
        return f"is not syncnet_v2: {error}"
    return ""


def _video_problem(path: Path) -> str:
    from pipeline.media.errors import MediaError
    from pipeline.media.file import MediaFile

    try:
        with MediaFile(path) as media:
            _ = media.display
    except MediaError as error:
        return f"is not a video: {error.detail}"
    return ""
