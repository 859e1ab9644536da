"""Where the configured corpus lies on disk."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.params import Params


def corpus_root(params: Params, raw_dir: Path) -> Path | None:
    """The source's ``root``; where it is not set but a ``url`` is, a folder below ``raw_dir``, else None."""
    source = params.dataset.source
    if source not in ("grid", "lrs2"):
        raise UserError(f"dataset.source {source} in params.yaml is no published corpus; grid and lrs2 are")
    corpus = params.dataset.grid if source == "grid" else params.dataset.lrs2
    if corpus.root is None and corpus.url is None:
        return None
    return (corpus.root or raw_dir / source).expanduser().resolve()
