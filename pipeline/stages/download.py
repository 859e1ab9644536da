"""Stage ``download``: a manifest of the source's clips with digests and splits.

The clips stay in their folder or in ``data/raw``. DVC does not cache them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, assert_never

from pipeline import stage
from pipeline.core.errors import DataError
from pipeline.core.layout import Layout
from pipeline.core.resources import num_cores
from pipeline.corpora.manifest import MIN_CLIPS, SPLITS, ClipRecord, record_of, write_manifest
from pipeline.corpora.roots import corpus_root
from pipeline.params import Params

_SETTING_OF = {
    "demo": "dataset.demo.val_fraction, test_fraction and split_by",
    "grid": "dataset.grid.val_fraction, test_fraction and split_by",
    "folder": "dataset.folder.val_fraction, test_fraction, split_by and metadata",
    "lrs2": "dataset.lrs2.root, whose train.txt, val.txt and test.txt list the clips,",
}
"""Source -> setting that determines the size of its splits."""


def main(argv: Sequence[str] | None = None) -> int:
    return stage.stage_command_line("download", _command, argv)


def _command() -> int:
    """List the source's clips, with their digests and splits, in data/manifest.parquet.

    The clips of the demo source are rendered. The clips of GRID or LRS2 are downloaded if params.yaml has their
    address. The command has no options: params.yaml has them all.
    """
    return stage.run("download", _body)


def _body(context: stage.StageContext) -> dict[str, Any]:
    records = list_clips(context.params, context.layout)
    counts = Counter(record.split for record in records)
    for split in SPLITS:
        if counts[split] < MIN_CLIPS[split]:
            raise DataError(
                f"the {split} split has {counts[split]} of {len(records)} clips and needs at least "
                f"{MIN_CLIPS[split]}; check {_SETTING_OF[context.params.dataset.source]} in params.yaml"
                f"{_speakers_needed(context.params, records)}"
            )
    write_manifest(context.layout.manifest_path, records)
    metrics: dict[str, Any] = {f"num_{split}_clips": counts[split] for split in SPLITS}
    return {
        **metrics,
        "num_clips": len(records),
        "num_speakers": len({record.speaker for record in records}),
        "num_bytes": sum(record.num_bytes for record in records),
    }


def _speakers_needed(params: Params, records: Sequence[ClipRecord]) -> str:
    """What a split by speaker lacks; empty if speakers are not the cause."""
    num = len({record.speaker for record in records})
    is_by_speaker = getattr(getattr(params.dataset, params.dataset.source), "split_by", None) == "speaker"
    if not is_by_speaker or num >= len(SPLITS):
        return ""
    return f": its split_by is speaker, which needs at least {len(SPLITS)} speakers, and {num} were found"


def list_clips(params: Params, layout: Layout) -> list[ClipRecord]:
    """All clips of the configured source. The demo source renders missing clips first.

    Raises UserError that names the setting if the source's folder is not set or does not exist, and the errors of the
    source's download and storage.
    """
    source = params.dataset.source
    if source == "demo":
        return _render_demo(params, layout.raw_dir / "demo", layout.root)
    if source == "grid":
        return _grid_clips(params, layout)
    if source == "lrs2":
        return _lrs2_clips(params, layout)
    if source == "folder":
        return _folder_clips(params, layout)
    assert_never(source)


def _grid_clips(params: Params, layout: Layout) -> list[ClipRecord]:
    from pipeline.corpora.grid import list_grid_clips

    grid, root = params.dataset.grid, corpus_root(params, layout)
    if grid.url:
        from pipeline.corpora.grid_download import download_grid

        assert root is not None  # corpus_root returns a folder if there is a url
        download_grid(grid, root, params.runtime.num_connections)
    return list_grid_clips(grid.model_copy(update={"root": root}), params.seed)


def _lrs2_clips(params: Params, layout: Layout) -> list[ClipRecord]:
    from pipeline.corpora.lrs2 import list_lrs2_clips

    lrs2, root = params.dataset.lrs2, corpus_root(params, layout)
    if lrs2.url:
        from pipeline.corpora.lrs2_download import download_lrs2

        assert root is not None  # corpus_root returns a folder if there is a url
        download_lrs2(lrs2, root, params.runtime.num_connections)
    return list_lrs2_clips(root)


def _folder_clips(params: Params, layout: Layout) -> list[ClipRecord]:
    from pipeline.corpora.folder import list_folder_clips

    return list_folder_clips(params.dataset.folder, params.seed, params.runtime.num_connections, layout.root)


def _render_demo(params: Params, folder: Path, root: Path) -> list[ClipRecord]:
    from pipeline.corpora.demo.render import DemoSpec, render_corpus

    spec = DemoSpec(**params.dataset.demo.model_dump(), seed=params.seed)
    num_workers = params.runtime.num_workers or num_cores()
    clips = render_corpus(spec, folder, num_workers)
    return [
        replace(record, path=Path(record.path).relative_to(root).as_posix())
        for record in (record_of(c.clip_id, c.speaker, c.split, c.path, c.transcript) for c in clips)
    ]


if __name__ == "__main__":
    raise SystemExit(main())
