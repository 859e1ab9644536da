"""A manifest's path as a file on this machine: there already, or fetched from an fsspec URL while it is needed.

Credentials of remote storage (``AWS_ACCESS_KEY_ID`` and the like) come from the environment of the process that
fetches; on a cluster that is the worker's own.
"""

from __future__ import annotations

import logging
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.media.errors import MissingMediaError

log = logging.getLogger(__name__)

RETRY_AFTER_S = (1.0, 5.0)
"""Pauses between tries at one object; after the last it counts as an outage."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::.*)?://")
_EXTRAS = {"s3": "s3", "s3a": "s3"}
_MAX_NAME_CHARS = 60  # at most 240 bytes: file systems allow 255


class OutageError(ConnectionError):
    """Storage did not deliver; it may on the next try, or to another machine."""


class NoDriverError(ValueError):
    """A URL's protocol is unknown to fsspec, or the package that speaks it is not installed."""


def local_path(path: str, root: Path) -> Path | None:
    """Where a manifest's path is on disk, seen from ``root`` if relative; None for a URL of remote storage."""
    if path.startswith("file://"):
        return root / path.removeprefix("file://")
    return None if _URL.match(path) else root / path


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
    for pause_s in (*RETRY_AFTER_S, None):
        try:
            return _fetch_once(url, target)
        except (FileNotFoundError, IsADirectoryError) as error:
            raise MissingMediaError(url, "no such object") from error
        except (MemoryError, NoDriverError):
            raise
        except Exception as error:  # each storage has its own, and none says anything about the clip
            if pause_s is None:
                raise OutageError(f"{url} cannot be fetched: {type(error).__name__}: {error}") from error
            log.warning("%s: %s: %s; trying again in %.0f s", url, type(error).__name__, error, pause_s)
            time.sleep(pause_s)


def _fetch_once(url: str, target: Path) -> None:
    from fsspec.core import url_to_fs

    with _driver_errors(url):
        storage, inner = url_to_fs(url)
    storage.get_file(inner, str(target))
    if not target.is_file():  # some make a folder for what is a folder there
        raise FileNotFoundError(url)


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
