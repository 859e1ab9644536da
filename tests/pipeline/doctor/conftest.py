"""A small checkout with listed, kept and rejected clips, and a fake list of installed packages."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Callable, Mapping, Sequence
from email.message import Message
from pathlib import Path

import pytest

from pipeline.core.layout import Layout
from pipeline.corpora.manifest import write_manifest
from pipeline.params import Params, load_params
from pipeline.shards.write import shard_name, write_index, write_rejects, write_shard
from tests.support.tiny_clips import STATS, MakeData, record, reject, sample


@pytest.fixture
def layout(tmp_path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A checkout without data. Environment variables that name services or folders are unset."""
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "PREFECT_API_URL", "MLFLOW_TRACKING_URI", "LIPSMITH_WEIGHTS_DIR"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "checkout"
    root.mkdir()
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(repo_root / name, root)
    return Layout(root)


@pytest.fixture
def params(repo_root: Path) -> Params:
    return load_params(repo_root / "params.yaml")


@pytest.fixture
def make_data(layout: Layout) -> MakeData:
    """Writes the three tables and the shards.

    ``kept``: clip id -> (split, changes to STATS). ``rejected``: clip id -> (split, reason). ``unlisted`` clips are
    not listed; ``lost`` clips are listed but neither kept nor rejected.
    """

    def make(
        kept: Mapping[str, tuple[str, Mapping[str, float]]],
        rejected: Mapping[str, tuple[str, str]] | None = None,
        unlisted: Sequence[str] = (),
        lost: Sequence[str] = (),
    ) -> None:
        rejects = rejected or {}
        listed = {clip_id: split for clip_id, (split, _) in (*kept.items(), *rejects.items())}
        listed |= dict.fromkeys(lost, "train")
        records = [record(clip_id, split) for clip_id, split in listed.items() if clip_id not in unlisted]
        write_manifest(layout.manifest_path, records)
        rows = []
        for split in sorted({split for split, _ in kept.values()}):
            ids = sorted(clip_id for clip_id, (where, _) in kept.items() if where == split)
            samples = [sample(clip_id, split, STATS | dict(kept[clip_id][1])) for clip_id in ids]
            rows += write_shard(layout.shards_dir, shard_name(split, 0), samples)
        write_index(layout.shards_dir, rows)
        write_rejects(layout.shards_dir, [reject(name, *how) for name, how in rejects.items()])

    return make


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes importlib.metadata return only these versions and requirements."""

    def pretend(versions: Mapping[str, str], requires: Sequence[str] | None = ()) -> None:
        def version(name: str) -> str:
            if name not in versions:
                raise importlib.metadata.PackageNotFoundError(name)
            return versions[name]

        def metadata(name: str) -> Message:
            if requires is None:
                raise importlib.metadata.PackageNotFoundError(name)
            message = Message()
            message["Requires-Python"] = ">=3.11,<3.14"
            for requirement in requires:
                message["Requires-Dist"] = requirement
            return message

        monkeypatch.setattr(importlib.metadata, "version", version)
        monkeypatch.setattr(importlib.metadata, "metadata", metadata)

    return pretend
