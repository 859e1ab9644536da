"""Unpack tar archives, whole or split into parts, and zip archives. Member names are not trusted.

Files are written atomically, and existing files of the right size are skipped, so interrupted unpacking can be resumed.
"""

from __future__ import annotations

import bisect
import errno
import gzip
import io
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from pipeline.core import atomic
from pipeline.fetch.http import DiskFullError, WrongContentError

COPY_BYTES = 1 << 20
OnMember = Callable[[int], None]
"""Callback with the number of archive bytes read so far."""
PlaceMember = Callable[[PurePosixPath], PurePosixPath | None]
"""Maps a member's name to its path below the target folder, or to None to skip it."""


@dataclass(frozen=True)
class Unpacked:
    """Counts of an unpacked archive. ``num_skipped`` files already existed with the right size."""

    num_files: int
    num_skipped: int
    num_bytes: int


class ArchiveError(WrongContentError):
    """An archive is damaged, or has a member that must not be unpacked."""


def _as_named(name: PurePosixPath) -> PurePosixPath:
    return name


def unpack_tar(
    parts: Sequence[Path], target_dir: Path, *, place: PlaceMember = _as_named, on_position: OnMember | None = None
) -> Unpacked:
    """Unpack the tar archive that is the concatenation of ``parts``. No concatenated copy is written.

    Raises ArchiveError for a damaged archive, for a member that is neither a file nor a folder, and for a member name
    outside ``target_dir``; members before it stay unpacked. Raises DiskFullError if the disk is full.
    """
    label = ", ".join(part.name for part in parts)
    counts = _Counts()
    try:
        with io.BufferedReader(_Joined(parts), COPY_BYTES) as joined, tarfile.open(fileobj=joined) as archive:
            for member in archive:
                name = _safe_name(member.name, label)
                if not (member.isreg() or member.isdir()):
                    raise ArchiveError(f"{label}: {member.name!r} is neither a file nor a folder; unpack it by hand")
                if member.isreg() and (where := place(name)):
                    source = archive.extractfile(member)
                    assert source is not None  # a regular file
                    counts.add(_write(source, member.size, target_dir / where))
                if on_position:
                    on_position(joined.tell())
            _require_end(archive, label)
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise ArchiveError(
            f"{label} cannot be unpacked: {error}; delete it, and the next run downloads it again"
        ) from None
    return counts.result()


def unpack_zip(
    path: Path, target_dir: Path, *, place: PlaceMember = _as_named, on_position: OnMember | None = None
) -> Unpacked:
    """Unpack a zip archive. Raises the errors of ``unpack_tar``."""
    counts, position = _Counts(), 0
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = _safe_name(member.filename, path.name)
                kind = stat.S_IFMT(member.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise ArchiveError(
                        f"{path.name}: {member.filename!r} is neither a file nor a folder; unpack it by hand"
                    )
                if not member.is_dir() and (where := place(name)):
                    with _opened(archive, member) as source:
                        counts.add(_write(source, member.file_size, target_dir / where))
                position += member.compress_size
                if on_position:
                    on_position(position)
    except (zipfile.BadZipFile, tarfile.ReadError, EOFError, zlib.error) as error:
        raise ArchiveError(
            f"{path.name} cannot be unpacked: {error}; delete it, and the next run downloads it again"
        ) from None
    return counts.result()


def _opened(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    try:
        return archive.open(member)
    except RuntimeError as error:  # encrypted, or an unknown compression (NotImplementedError)
        raise zipfile.BadZipFile(str(error)) from None


class _Counts:
    def __init__(self) -> None:
        self._num_files = self._num_skipped = self._num_bytes = 0

    def add(self, outcome: tuple[int, bool]) -> None:
        num_bytes, was_there = outcome
        self._num_files += 1
        self._num_skipped += was_there
        self._num_bytes += num_bytes

    def result(self) -> Unpacked:
        return Unpacked(self._num_files, self._num_skipped, self._num_bytes)


def _safe_name(name: str, archive: str) -> PurePosixPath:
    """The member's path. Raises ArchiveError for an absolute path or one with ``..``."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or not name:
        raise ArchiveError(f"{archive}: the member name {name!r} points outside the target folder")
    return path


def _write(source: IO[bytes], size: int, target: Path) -> tuple[int, bool]:
    """Write one file; return its bytes and whether it existed already. A symbolic link is replaced, not followed."""
    if target.is_file() and not target.is_symlink() and target.stat().st_size == size:
        return size, True
    with _room_for(target), atomic.replacing(target) as temporary, temporary.open("wb") as file:
        shutil.copyfileobj(source, file, COPY_BYTES)
        if file.tell() != size:
            raise tarfile.ReadError(f"{target.name} ends after {file.tell():,} of {size:,} bytes")
    return size, False


@contextmanager
def _room_for(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFullError(
            f"the disk is full; {target} cannot be unpacked. Free some space and run again to resume"
        ) from None


def _require_end(archive: tarfile.TarFile, label: str) -> None:
    """Raise ArchiveError unless a block of zeros follows the last member.

    ``tarfile`` does not report an archive that is cut between two members, or has other bytes after a member.
    """
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise ArchiveError(
            f"{label} ends too early: a part is missing, damaged or incomplete; delete it, and the next run downloads "
            "it again"
        )
    while archive.fileobj.read(1 << 20):  # reads the checksum of a compressed archive, which follows the tar's end
        pass


class _Joined(io.RawIOBase):
    """The concatenation of files as one seekable file. At most one of them is open at a time."""

    def __init__(self, paths: Sequence[Path]) -> None:
        super().__init__()
        self._paths = list(paths)
        sizes = [path.stat().st_size for path in paths]
        self._starts = [sum(sizes[:k]) for k in range(len(sizes))]
        self._size = sum(sizes)
        self._position = 0
        self._open: tuple[int, IO[bytes]] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._position >= self._size:
            return 0
        number = bisect.bisect_right(self._starts, self._position) - 1
        file = self._part(number)
        file.seek(self._position - self._starts[number])
        content = file.read(len(buffer))
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def close(self) -> None:
        if self._open:
            self._open[1].close()
            self._open = None
        super().close()

    def _part(self, number: int) -> IO[bytes]:
        if self._open and self._open[0] != number:
            self._open[1].close()
            self._open = None
        if self._open is None:
            self._open = number, self._paths[number].open("rb")
        return self._open[1]
