"""The folder of the web app's files: uploads and results. They are removed after a set time, and when the app ends."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.locks import locked_or_refused

logger = logging.getLogger(__name__)


class WorkFolder:
    """A private folder whose entries are removed ``keep_s`` seconds after their last change.

    An entry is a file or folder directly below ``path``. Entries in use are never removed.
    """

    def __init__(self, path: Path, keep_s: float) -> None:
        self.path, self._keep_s = path, keep_s
        self._lock = threading.Lock()
        self._num_users: dict[Path, int] = {}

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Create the folder empty, remove old entries while it is open, and remove the folder at the end.

        Files of an app that was killed are removed at the start. Raises LockHeldError if another app uses the folder.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked_or_refused(self.path.with_name(f"{self.path.name}.lock"), "the app of this checkout"):
            shutil.rmtree(self.path, ignore_errors=True)
            self.path.mkdir(mode=0o700)
            ended = threading.Event()
            cleaner = threading.Thread(target=self._clean_until, args=(ended,), daemon=True, name="cleaner")
            cleaner.start()
            try:
                yield
            finally:
                ended.set()
                cleaner.join()
                shutil.rmtree(self.path, ignore_errors=True)

    @contextmanager
    def new_folder(self) -> Iterator[Path]:
        """Create an empty folder for the results of one request, which is in use while the block runs."""
        with self._lock:
            folder = Path(tempfile.mkdtemp(prefix="job-", dir=self.path))
            self._num_users[folder] = 1
        try:
            yield folder
        finally:
            self._release([folder])

    @contextmanager
    def using(self, paths: Collection[Path]) -> Iterator[None]:
        """Keep the entries that contain ``paths``. Their time begins anew at the end."""
        entries = {entry for path in paths if (entry := self._entry_of(path)) is not None}
        with self._lock:
            for entry in entries:
                self._num_users[entry] = self._num_users.get(entry, 0) + 1
        try:
            yield
        finally:
            self._release(entries)

    def remove_old(self, now: float | None = None) -> int:
        """Remove the entries whose time is over at ``now``, in seconds since the epoch. Returns their number.

        An entry that cannot be removed is logged and stays.
        """
        limit = (time.time() if now is None else now) - self._keep_s
        num_removed = 0
        for entry in list(self.path.iterdir()) if self.path.is_dir() else ():
            with self._lock:
                try:
                    if entry in self._num_users or _changed_at(entry) > limit:
                        continue
                    if entry.is_dir() and not entry.is_symlink():
                        shutil.rmtree(entry)
                    else:
                        entry.unlink(missing_ok=True)
                    num_removed += 1
                except OSError as error:
                    logger.warning("a file of the app is older than its time and cannot be removed: %s", error)
        return num_removed

    def _release(self, entries: Iterable[Path]) -> None:
        """End a use of each entry; the time of those that are still there begins anew."""
        with self._lock:
            for entry in entries:
                self._num_users[entry] -= 1
                if not self._num_users[entry]:
                    del self._num_users[entry]
                if entry.exists():
                    entry.touch()

    def _entry_of(self, path: Path) -> Path | None:
        absolute, base = path.resolve(), self.path.resolve()
        if not absolute.is_relative_to(base) or absolute == base:
            return None
        return self.path / absolute.relative_to(base).parts[0]

    def _clean_until(self, ended: threading.Event) -> None:
        while not ended.wait(min(60.0, self._keep_s / 4)):
            if num_removed := self.remove_old():
                logger.info("removed %d files or folders of the app that are older than their time", num_removed)


def _changed_at(entry: Path) -> float:
    """Time of the last change of an entry or of anything below it; 0 if it is gone."""
    times = [0.0]
    for path in (entry, *(entry.rglob("*") if entry.is_dir() else ())):
        try:
            times.append(path.lstat().st_mtime)
        except FileNotFoundError:
            continue
    return max(times)
