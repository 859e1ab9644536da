"""The folder of the source clips must not lie among the outputs: DVC removes those before it runs a stage."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.layout import Layout
from pipeline.params.file import Params
from pipeline.params.values import ParamsError


def require_clips_outside_outputs(params: Params, layout: Layout) -> None:
    """Raise ParamsError, which names the setting, if the ``root`` of the source is in a folder that a stage writes."""
    source = params.dataset.source
    if source == "demo" or not (root := getattr(params.dataset, source).root):
        return
    folder = (layout.root / Path(str(root).removeprefix("file://")).expanduser()).resolve()
    for output in (layout.shards_dir, layout.clips_dir, layout.artifacts_dir, layout.scratch_dir):
        if folder.is_relative_to(output.resolve()):
            raise ParamsError(
                f"{layout.params_path}: dataset.{source}.root is {root}, but the pipeline writes "
                f"{output.relative_to(layout.root)} itself and removes everything in it; move your clips to another "
                "folder, such as data/videos, and set the root to it"
            )
