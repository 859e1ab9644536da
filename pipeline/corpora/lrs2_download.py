"""Download the archives and split lists of LRS2-BBC from its server. The BBC grants access to researchers.

The licence forbids redistribution: nothing here uploads clips, and copies on other hosts are not supported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.corpora.archive_folder import Depot
from pipeline.corpora.video_tree import files_below
from pipeline.fetch.archives import unpack_tar
from pipeline.fetch.batch import alone_in
from pipeline.fetch.credentials import from_environment
from pipeline.fetch.http import Checksum, RemoteFile
from pipeline.params import Lrs2Params

LISTS = ("pretrain.txt", "train.txt", "val.txt", "test.txt")
ENVIRONMENT_PREFIX = "LIPSMITH_LRS2"
_LABEL = "lrs2"


def download_lrs2(params: Lrs2Params, root: Path, num_connections: int) -> None:
    """Download ``mvlrs_v1`` and the four lists into ``root``. Existing files are not downloaded again.

    User name and password come from ``LIPSMITH_LRS2_USER`` and ``LIPSMITH_LRS2_PASSWORD``, or from ~/.netrc.
    Raises TransferError, or UserError for wrong environment variables or settings.
    """
    assert params.url is not None
    _require_known_files(params)
    depot, names, clips_dir = Depot(root), list(params.archives), root / "mvlrs_v1"
    if depot.is_unpacked(_LABEL, names, clips_dir) and not _missing_lists(root):
        return
    credentials = from_environment(params.url, ENVIRONMENT_PREFIX)
    with alone_in(depot.folder):
        is_unpacked = depot.is_unpacked(_LABEL, names, clips_dir)
        lists = [_remote(params, name, root / name) for name in _missing_lists(root)]
        archives = [] if is_unpacked else [_remote(params, name, depot.path_of(name)) for name in names]

        def bytes_to_unpack(files: Sequence[RemoteFile]) -> int:
            packed = sum(file.size_bytes or 0 for file in files if file.path.parent == depot.folder)
            return max(0, packed - _size_of_tree(clips_dir))

        depot.fetch([*lists, *archives], credentials, num_connections=num_connections, bytes_to_unpack=bytes_to_unpack)
        if not is_unpacked:
            unpacked = depot.unpack(names, lambda paths, on_position: unpack_tar(paths, root, on_position=on_position))
            depot.finish(_LABEL, names, unpacked, keep_archives=params.keep_archives)


def _require_known_files(params: Lrs2Params) -> None:
    """Raise UserError for a repeated archive or a checksum of an unknown file.

    Two connections would write a repeated archive at once. A checksum of an unknown file would check nothing.
    """
    if twice := [name for name, count in Counter(params.archives).items() if count > 1]:
        raise UserError(f"dataset.lrs2.archives in params.yaml lists {twice[0]} twice; remove one")
    files = (*params.archives, *LISTS)
    if unknown := sorted(params.md5.keys() - set(files)):
        raise UserError(
            f"dataset.lrs2.md5 in params.yaml has {unknown[0]}, which is not a file to download; the files are "
            f"{', '.join(files)}"
        )


def _remote(params: Lrs2Params, name: str, path: Path) -> RemoteFile:
    md5 = params.md5.get(name)
    return RemoteFile(f"{str(params.url).rstrip('/')}/{name}", path, checksum=Checksum("md5", md5) if md5 else None)


def _missing_lists(root: Path) -> list[str]:
    return [name for name in LISTS if not (root / name).is_file()]


def _size_of_tree(folder: Path) -> int:
    return sum(path.stat().st_size for path in files_below(folder))
