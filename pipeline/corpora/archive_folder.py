"""Where a corpus' archives wait to be unpacked, and what has been: ``ROOT/.archives``."""

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
from pipeline.fetch.progress import ByteProgress

logger = logging.getLogger(__name__)


class Depot:
    """The archives of one corpus below its ``root``. Use it inside ``alone_in(depot.folder)``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / ".archives"

    def path_of(self, name: str) -> Path:
        return self.folder / name

    def is_unpacked(self, label: str, names: Sequence[str], folder: Path) -> bool:
        """Whether ``finish`` noted these archives under this label and ``folder``, where they went, still has files.

        Fewer files than were unpacked are told, but left to whoever removed them.
        """
        path = self._note_path(label)
        if not path.is_file():
            return False
        note = json.loads(path.read_text())
        if note["archives"] != list(names):
            return False
        num_left = len(files_below(folder))
        if 0 < num_left < note["num_files"]:
            logger.warning(
                "%s has %d of the %d files that were unpacked; without %s they are fetched and unpacked again",
                folder,
                num_left,
                note["num_files"],
                path,
            )
        return num_left > 0

    def finish(self, label: str, names: Sequence[str], unpacked: Unpacked, *, keep_archives: bool) -> None:
        """Note that the archives are unpacked, and remove them unless they are to be kept."""
        content = {"archives": list(names), "num_files": unpacked.num_files, "num_bytes": unpacked.num_bytes}
        atomic.write_json(self._note_path(label), content)
        logger.info(
            "%s: %d files, %.2f GB unpacked, %d of them were there already",
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
        """Have every file at its path, after a look at the room for them and for what is unpacked from them.

        Raises TransferError.
        """
        sized = with_sizes(files, credentials, num_connections)
        needed = num_missing_bytes(sized) + bytes_to_unpack(sized)
        require_room(self.root, needed, "what is to be downloaded and unpacked there")
        fetch_all(sized, credentials, num_connections=num_connections)

    def unpack(self, names: Sequence[str], run: Callable[[list[Path], OnMember], Unpacked]) -> Unpacked:
        """Run an unpacker over the archives with progress: it is given their paths and whom to tell its position."""
        paths = [self.path_of(name) for name in names]
        with ByteProgress("unpack", sum(path.stat().st_size for path in paths)) as progress:
            position = 0

            def report_position(reached: int) -> None:
                nonlocal position
                progress.add(reached - position, True)
                position = reached

            return run(paths, report_position)

    def _note_path(self, label: str) -> Path:
        return self.folder / f"{label}.unpacked.json"
