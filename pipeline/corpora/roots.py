"""The folder of the published corpus that ``params.yaml`` selects."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.layout import Layout
from pipeline.params import Params


def corpus_root(params: Params, layout: Layout) -> Path | None:
    """The source's ``root``; without one, a folder below ``data/raw`` if ``url`` is set, else None.

    A relative root starts at the checkout. Raises UserError for a source other than grid and lrs2.
    """
    source = params.dataset.source
    if source not in ("grid", "lrs2"):
        raise UserError(f"dataset.source in params.yaml is {source}, which is not a published corpus (grid or lrs2)")
    corpus = params.dataset.grid if source == "grid" else params.dataset.lrs2
    if corpus.root is None and corpus.url is None:
        return None
    chosen = corpus.root or layout.downloads_dir / source
    return (layout.root / chosen.expanduser()).resolve()
