"""Clips wherever they are kept: on disk, or in remote storage under an fsspec URL.

Credentials of remote storage (``AWS_ACCESS_KEY_ID`` and the like) come from the environment of the process that
fetches; on a cluster that is the worker's own.
"""

from __future__ import annotations

import hashlib
import logging
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pipeline.core.errors import LipsmithError, TemporaryError, UserError
from pipeline.media.errors import MissingMediaError

log = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_AFTER_S = (1.0, 5.0)
"""Pauses between tries at one object; after the last it counts as an outage."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::.*)?://")
_EXTRAS = {"s3": "s3", "s3a": "s3"}
_PIECE_BYTES = 1 << 20
_BUGS = (TypeError, LookupError, AttributeError, NameError, AssertionError)
_MAX_NAME_CHARS = 60  # at most 240 bytes: file systems allow 255


class OutageError(TemporaryError):
    """Storage did not deliver; it may on the next try, or to another machine."""


class NoDriverError(UserError):
    """A URL's protocol is unknown to fsspec, or the package that speaks it is not installed."""


def is_url(path: str) -> bool:
    """Whether this names something in remote storage rather than on disk."""
    return bool(_URL.match(path)) and not path.startswith("file://")


def local_path(path: str, root: Path) -> Path | None:
    """Where a manifest's path is on disk, seen from ``root`` if relative; None for a URL of remote storage."""
    return None if is_url(path) else root / path.removeprefix("file://")


def require_drivers(paths: Iterable[str]) -> None:
    """Raise NoDriverError, naming what to install, if this machine cannot read one of the URLs among ``paths``."""
    links = {link for path in paths if _URL.match(path) for link in path.split("::")}
    protocols = {link.partition("://")[0] for link in links if "://" in link}
    if protocols:
        from fsspec import get_filesystem_class
    for protocol in sorted(protocols):
        with _driver_errors(f"{protocol}://"):
            get_filesystem_class(protocol)


@contextmanager
def local_file(path: str, root: Path) -> Iterator[Path]:
    """A manifest's path as a local file. A remote one lies in a private folder that ends with the block.

    A path on disk is given back as it is, whether or not there is such a file. Raises MissingMediaError for a remote
    object that does not exist, OutageError where storage does not answer, NoDriverError.
    """
    on_disk = local_path(path, root)
    if on_disk is not None:
        yield on_disk
        return
    with tempfile.TemporaryDirectory(prefix="lipsmith-") as folder:
        fetched = Path(folder) / _name_of(path)
        _fetch(path, fetched)
        yield fetched


def _name_of(url: str) -> str:
    """The object's own name, so that a sample tells the same source wherever its clip is kept; no query of a URL."""
    link = next(link for link in url.split("::") if "://" in link)
    if link.startswith(("http://", "https://")):
        link = re.split("[?#]", link)[0]
    return link.rstrip("/").rpartition("/")[2][-_MAX_NAME_CHARS:]


def _fetch(url: str, target: Path) -> None:
    try:
        _patiently(url, lambda: _fetch_once(url, target))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise MissingMediaError(url, "no such object") from error


def _patiently(url: str, ask: Callable[[], T]) -> T:
    """What ``ask`` returns, asked again after a while where storage fails.

    Raises FileNotFoundError and IsADirectoryError as they come, OutageError where trying again did not help,
    NoDriverError, and bugs.
    """
    for pause_s in (*RETRY_AFTER_S, None):
        try:
            return ask()
        except (MemoryError, LipsmithError, FileNotFoundError, IsADirectoryError, *_BUGS):
            raise
        except Exception as error:  # each storage has its own, and none says anything about the clip
            if pause_s is None:
                raise OutageError(f"{url} cannot be fetched: {type(error).__name__}: {error}") from error
            log.warning("%s: %s: %s; trying again in %.0f s", url, type(error).__name__, error, pause_s)
            time.sleep(pause_s)
    raise AssertionError("the last try returns or raises")


def _fetch_once(url: str, target: Path) -> None:
    from fsspec.core import url_to_fs

    with _driver_errors(url):
        storage, inner = url_to_fs(url)
    storage.get_file(inner, str(target))
    if not target.is_file():  # some make a folder for what is a folder there
        raise FileNotFoundError(url)


class RemoteFolder:
    """A folder of remote storage, such as ``s3://bucket/videos``, and what lies below it."""

    def __init__(self, url: str) -> None:
        """Raises NoDriverError where this machine cannot read the URL."""
        from fsspec.core import url_to_fs

        self.url = url.rstrip("/")
        with _driver_errors(url):
            self._storage, self._path = url_to_fs(self.url)

    def sizes(self) -> dict[str, int]:
        """Bytes of every object below, by its path from here with ``/``; empty where there is none.

        Raises OutageError.
        """

        def find() -> dict[str, dict[str, Any]]:
            self._storage.invalidate_cache()
            found: dict[str, dict[str, Any]] = self._storage.find(self._path, detail=True)
            return found

        try:
            found = _patiently(self.url, find)
        except FileNotFoundError:
            return {}
        start = self._path.rstrip("/") + "/"
        return {
            path.removeprefix(start): self._size_of(path, info)
            for path, info in found.items()
            if path.startswith(start)
        }

    def _size_of(self, path: str, info: Mapping[str, Any]) -> int:
        """Some listings, such as those of web servers, do not tell sizes. Raises UserError where nobody does."""
        size = info.get("size")
        if size is None:
            size = _patiently(path, lambda: self._storage.info(path)).get("size")
        if size is None:
            raise UserError(f"the storage does not tell the size of {path}; take a copy on disk or in a bucket")
        return int(size)

    def url_of(self, name: str) -> str:
        return f"{self.url}/{name}"

    def read(self, name: str) -> bytes:
        """A small object's content. Raises OutageError, or MissingMediaError for what is not there."""
        content: bytes = self._ask(name, lambda: self._storage.cat_file(f"{self._path}/{name}"))
        return content

    def sha256(self, name: str) -> str:
        """Hex digest of an object, which is read once from end to end. Raises as ``read``."""

        def digest() -> str:
            with self._storage.open(f"{self._path}/{name}", "rb") as file:
                total = hashlib.sha256()
                while piece := file.read(_PIECE_BYTES):
                    total.update(piece)
                return total.hexdigest()

        return self._ask(name, digest)

    def _ask(self, name: str, ask: Callable[[], T]) -> T:
        try:
            return _patiently(self.url_of(name), ask)
        except FileNotFoundError as error:
            raise MissingMediaError(self.url_of(name), "no such object") from error


@contextmanager
def _driver_errors(url: str) -> Iterator[None]:
    protocol = url.partition("://")[0]
    try:
        yield
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        cure = f"pip install 'lipsmith[{extra}]'" if extra else str(error)
        raise NoDriverError(f"{url} cannot be read without another package: {cure}") from error
    except ValueError as error:
        raise NoDriverError(f"{url} cannot be read: {error}") from error
