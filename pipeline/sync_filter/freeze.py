"""Copy of a trained expert out of the pipeline's outputs, so that later training runs do not change it."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.core import atomic
from pipeline.core.digest import sha256_of
from pipeline.core.errors import UserError
from pipeline.core.layout import Layout
from pipeline.inference.lse_evaluator import read_official
from pipeline.inference.sync_expert import read_expert
from pipeline.params import parse_params, read_params_text
from pipeline.params.edit import Change, replace_values
from pipeline.sync_filter.scorer import weights_file


def freeze_scorer(layout: Layout, source: Path | None) -> tuple[Path, list[Change]]:
    """Copy ``source`` into the weights folder and set it as scorer in ``params.yaml``.

    ``source``: folder of a sync expert, or ``syncnet_v2.model``; None for the expert that ``train_syncnet`` trained.
    Returns the path of the copy and the changes of ``params.yaml``. Raises UserError if ``source`` is neither.
    """
    import yaml

    source = source or layout.model_dir("train_syncnet")
    if source.is_dir():
        read_expert(source)
    if not weights_file(source).is_file():
        raise UserError(
            f"{source} is neither the folder of a sync expert nor a file; `dvc repro train_syncnet` trains an expert"
        )
    if source.is_file():
        _require_official(source)
    digest = sha256_of(weights_file(source))
    target = layout.weights_dir / f"sync_scorer-{digest[:12]}"
    if source.resolve() == target.resolve():
        pass  # already frozen
    elif source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    named = target.relative_to(layout.root) if target.is_relative_to(layout.root) else target
    text = read_params_text(layout.params_path)
    values = {"sync_filter.scorer": named.as_posix(), "sync_filter.scorer_sha256": digest}
    text, changes = replace_values(text, values)
    parse_params(yaml.safe_load(text), str(layout.params_path))
    atomic.write_text(layout.params_path, text)
    return target, changes


def _require_official(path: Path) -> None:
    try:
        read_official(path)
    except UserError as error:
        raise UserError(
            f"{path} is not syncnet_v2.model: {error}; if it is Wav2Lip's expert, convert it first "
            "(python -m pipeline adopt)"
        ) from None
