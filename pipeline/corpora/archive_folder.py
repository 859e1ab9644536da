"""The folder ``ROOT/.archives``: a corpus' downloaded archives, and records of those that were unpacked."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.core import atomic
from pipeline.corpora.video_tree import files_below
from pipeline.fetch.archives import OnMember, Unpacked
from pipeline.fetch.batch import fetch_all, num_missing_bytes, require_room, with_sizes
from pipeline.fetch.credentials import Credentials
from pipeline.fetch.http import RemoteFile
from pipeline.report.progress import BYTES, Progress

logger = logging.getLogger(__name__)


class Depot:
    """The archives of the corpus at ``root``. Hold ``alone_in(depot.folder)`` while you use it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / ".archives"

    def path_of(self, name: str) -> Path:
        return self.folder / name

    def is_unpacked(self, label: str, names: Sequence[str], folder: Path) -> bool:
        """Whether ``finish`` recorded exactly these archives under ``label`` and ``folder`` still has files.

        Logs a warning if ``folder`` has fewer files than were unpacked into it. Missing files are not restored.
        """
        path = self._record_path(label)
        if not path.is_file():
            return False
        record = json.loads(path.read_text())
        if record["archives"] != list(names):
            return False
        num_left = len(files_below(folder))
        if 0 < num_left < record["num_files"]:
            logger.warning(
                "%s has %d of the %d files that were unpacked; delete %s to download and unpack them again",
                folder,
                num_left,
                record["num_files"],
                path,
            )
        return num_left > 0

    def finish(self, label: str, names: Sequence[str], unpacked: Unpacked, *, keep_archives: bool) -> None:
        """Record that the archives are unpacked. Delete them unless ``keep_archives``."""
        content = {"archives": list(names), "num_files": unpacked.num_files, "num_bytes": unpacked.num_bytes}
        atomic.write_json(self._record_path(label), content)
        logger.info(
            "%s: unpacked %d files, %.2f GB; %d of them already existed",
            label,
            unpacked.num_files,
            unpacked.num_bytes / 1e9,
            unpacked.num_skipped,
        )
        if not keep_archives:
            for name in names:
                self.path_of(name).unlink(missing_ok=True)

    def fetch(
        self,
        files: Sequence[RemoteFile],
        credentials: Credentials | None = None,
        *,
        num_connections: int,
        bytes_to_unpack: Callable[[Sequence[RemoteFile]], int],
    ) -> None:
        """Download every file to its path, if the disk has room for the files and for what they unpack to.

        ``bytes_to_unpack`` estimates the size of the unpacked files. Raises TransferError.
        """
        sized = with_sizes(files, credentials, num_connections)
        needed = num_missing_bytes(sized) + bytes_to_unpack(sized)
        require_room(self.root, needed, "downloading and unpacking the corpus")
        fetch_all(sized, credentials, num_connections=num_connections)

    def unpack(self, names: Sequence[str], run: Callable[[list[Path], OnMember], Unpacked]) -> Unpacked:
        """The result of ``run(paths, on_position)`` for the named archives, with a progress display.

        ``run`` calls ``on_position`` with the number of archive bytes that it has read so far.
        """
        paths = [self.path_of(name) for name in names]
        with Progress("unpack", sum(path.stat().st_size for path in paths), BYTES) as progress:
            position = 0

            def report_position(reached: int) -> None:
                nonlocal position
                progress.add(reached - position)
                position = reached

            return run(paths, report_position)

    def _record_path(self, label: str) -> Path:
        return self.folder / f"{label}.unpacked.json"
