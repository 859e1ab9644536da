"""Access to clips on disk or in remote storage, which is addressed by fsspec URLs.

Credentials of remote storage, such as ``AWS_ACCESS_KEY_ID``, come from the environment of the process that reads. On a
cluster that is the worker.
"""

from __future__ import annotations

import errno
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

logger = logging.getLogger(__name__)

T = TypeVar("T")

RETRY_AFTER_S = (1.0, 5.0)
"""Pauses between attempts to read an object. A failure after the last pause is an outage."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::.*)?://")
_EXTRAS = {"s3": "s3", "s3a": "s3"}
_PIECE_BYTES = 1 << 20
_BUGS = (TypeError, LookupError, AttributeError, NameError, AssertionError)
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED_STATUS = (401, 403)
_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound")
"""Names of botocore's errors, which s3fs raises unchanged."""
_MAX_NAME_CHARS = 60  # at most 240 bytes in UTF-8; file systems allow 255


class OutageError(TemporaryError):
    """Remote storage failed. The next attempt, or another machine, may succeed."""


class AccessDeniedError(UserError):
    """Remote storage refuses the credentials, or there are none. Another attempt does not help."""


class NoDriverError(UserError):
    """fsspec does not know a URL's protocol, or the package that implements it is not installed."""


def is_url(path: str) -> bool:
    """Whether ``path`` is a URL of remote storage. ``file://`` URLs and plain paths are not."""
    return bool(_URL.match(path)) and not path.startswith("file://")


def local_path(path: str, root: Path) -> Path | None:
    """A manifest's path on disk, relative paths below ``root``; None for a URL of remote storage."""
    return None if is_url(path) else root / path.removeprefix("file://")


def require_drivers(paths: Iterable[str]) -> None:
    """Raise NoDriverError, with the package to install, if this machine cannot read one of the URLs in ``paths``."""
    links = {link for path in paths if _URL.match(path) for link in path.split("::")}
    protocols = {link.partition("://")[0] for link in links if "://" in link}
    if protocols:
        from fsspec import get_filesystem_class
    for protocol in sorted(protocols):
        with _driver_errors(f"{protocol}://"):
            get_filesystem_class(protocol)


@contextmanager
def local_file(path: str, root: Path) -> Iterator[Path]:
    """Yield a manifest's path as a local file. A remote file is downloaded to a folder that is deleted afterwards.

    A path on disk is yielded unchanged, even if it does not exist. Raises MissingMediaError for a remote object that
    does not exist, OutageError if storage does not answer, AccessDeniedError if it refuses the credentials, and
    NoDriverError if this machine cannot read the URL.
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
    """The object's name, without a URL's query: samples name the same source wherever the clip is stored."""
    link = next(link for link in url.split("::") if "://" in link)
    if link.startswith(("http://", "https://")):
        link = re.split("[?#]", link)[0]
    return link.rstrip("/").rpartition("/")[2][-_MAX_NAME_CHARS:]


def _fetch(url: str, target: Path) -> None:
    try:
        _with_retries(url, lambda: _fetch_once(url, target))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise MissingMediaError(url, "no such object") from error


def _with_retries(url: str, operation: Callable[[], T]) -> T:
    """The result of ``operation()``, which is called again after each pause in ``RETRY_AFTER_S`` if storage fails.

    Raises OutageError after the last attempt, AccessDeniedError at once. FileNotFoundError, IsADirectoryError, a full
    disk of this machine, our own errors and bugs are raised at once, too.
    """
    for pause_s in (*RETRY_AFTER_S, None):
        try:
            return operation()
        except (MemoryError, LipsmithError, FileNotFoundError, IsADirectoryError, *_BUGS):
            raise
        except Exception as error:  # each storage raises its own types, and none is caused by the clip
            if isinstance(error, OSError) and error.errno in _DISK_FULL:
                raise
            if _is_refused(error):
                raise AccessDeniedError(
                    f"{url}: access is denied ({type(error).__name__}: {error}); set the credentials of the storage in "
                    "the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                ) from error
            if pause_s is None:
                raise OutageError(f"{url} cannot be fetched: {type(error).__name__}: {error}") from error
            logger.warning("%s: %s: %s; retrying in %.0f s", url, type(error).__name__, error, pause_s)
            time.sleep(pause_s)
    raise AssertionError("the last attempt returns or raises")


def _is_refused(error: Exception) -> bool:
    has_status = getattr(error, "status", None) in _REFUSED_STATUS  # of aiohttp, which reads http:// and https://
    return isinstance(error, PermissionError) or has_status or type(error).__name__ in _NO_CREDENTIALS


def _fetch_once(url: str, target: Path) -> None:
    from fsspec.core import url_to_fs

    with _driver_errors(url):
        storage, inner = url_to_fs(url)
    storage.get_file(inner, str(target))
    if not target.is_file():  # for a remote folder, some storages create a local folder
        raise FileNotFoundError(url)


class RemoteFolder:
    """A folder in remote storage, such as ``s3://bucket/videos``, and the objects below it."""

    def __init__(self, url: str) -> None:
        """Raises NoDriverError if this machine cannot read the URL."""
        from fsspec.core import url_to_fs

        self.url = url.rstrip("/")
        with _driver_errors(url):
            self._storage, self._path = url_to_fs(self.url)

    def sizes(self) -> dict[str, int]:
        """The bytes of every object, keyed by its path relative to the folder; empty without objects.

        Raises OutageError, AccessDeniedError, or UserError for an object of unknown size.
        """

        def find() -> dict[str, dict[str, Any]]:
            self._storage.invalidate_cache()
            found: dict[str, dict[str, Any]] = self._storage.find(self._path, detail=True)
            return found

        try:
            found = _with_retries(self.url, find)
        except FileNotFoundError:
            return {}
        start = self._path.rstrip("/") + "/"
        return {
            path.removeprefix(start): self._size_of(path, info)
            for path, info in found.items()
            if path.startswith(start)
        }

    def _size_of(self, path: str, info: Mapping[str, Any]) -> int:
        """An object's size. Listings of web servers may omit it. Raises UserError if the server omits it too."""
        size = info.get("size")
        if size is None:
            size = _with_retries(path, lambda: self._storage.info(path)).get("size")
        if size is None:
            raise UserError(
                f"the storage does not report the size of {path}; copy the videos to disk or to a bucket, and set "
                "dataset.folder.root in params.yaml to the copy"
            )
        return int(size)

    def url_of(self, name: str) -> str:
        return f"{self.url}/{name}"

    def read(self, name: str) -> bytes:
        """The content of a small object. Raises OutageError, AccessDeniedError, or MissingMediaError."""
        content: bytes = self._request(name, lambda: self._storage.cat_file(f"{self._path}/{name}"))
        return content

    def sha256(self, name: str) -> str:
        """The hex SHA-256 of an object. The whole object is read. Raises the errors of ``read``."""

        def digest() -> str:
            with self._storage.open(f"{self._path}/{name}", "rb") as file:
                total = hashlib.sha256()
                while piece := file.read(_PIECE_BYTES):
                    total.update(piece)
                return total.hexdigest()

        return self._request(name, digest)

    def _request(self, name: str, operation: Callable[[], T]) -> T:
        try:
            return _with_retries(self.url_of(name), operation)
        except FileNotFoundError as error:
            raise MissingMediaError(self.url_of(name), "no such object") from error


@contextmanager
def _driver_errors(url: str) -> Iterator[None]:
    protocol = url.partition("://")[0]
    try:
        yield
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        remedy = f"pip install 'lipsmith[{extra}]'" if extra else str(error)
        raise NoDriverError(f"{url} cannot be read without another package: {remedy}") from error
    except ValueError as error:
        raise NoDriverError(f"{url} cannot be read: {error}") from error
