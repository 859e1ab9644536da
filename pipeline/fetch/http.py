"""Download one file over HTTP: resume partial files, retry temporary failures, verify before the final rename."""

from __future__ import annotations

import email.utils
import errno
import hashlib
import logging
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from pipeline.core.errors import DataError, LipsmithError, TemporaryError, UserError
from pipeline.core.redact import redacted
from pipeline.fetch.credentials import Credentials

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 16
"""Bytes per write. A broken connection loses at most this much."""
TIMEOUT_S = 30.0
ATTEMPTS = 5
"""Consecutive attempts without a new byte before a download fails."""
RETRY_WAIT_S = 1.0
MAX_RETRY_WAIT_S = 60.0
_RETRY_STATUSES = frozenset({408, 425, 429})
_CONNECTION = re.compile(r"^(<.*?>|HTTPS?Connection\(.*?\)): ")
"""The connection object at the start of urllib3's messages."""

OnBytes = Callable[[int, bool], None]
"""Callback (count, is_fresh) for bytes on disk: negative for discarded bytes; fresh ones were just downloaded."""


class TransferError(LipsmithError):
    """A download failed. The message names the file, the cause and the remedy."""


class RefusedTransferError(TransferError, UserError):
    """The server refused the request (401, 403, 404, ...). A retry would not help."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class InterruptedTransferError(TransferError, TemporaryError):
    """The connection or the server failed. The partial file is kept, and the next call resumes it."""


class WrongContentError(TransferError, DataError):
    """The content is not the expected one. A downloaded file was deleted; a file that already existed is kept."""


class DiskFullError(TransferError, UserError):
    """The disk is full. The partial file is kept."""


@dataclass(frozen=True)
class Checksum:
    """A checksum. ``algorithm`` is a name known to hashlib; ``hexdigest`` is in lower case.

    Raises ValueError for an unknown algorithm or a digest of the wrong form.
    """

    algorithm: str
    hexdigest: str

    def __post_init__(self) -> None:
        size = hashlib.new(self.algorithm, usedforsecurity=False).digest_size
        if len(self.hexdigest) != 2 * size or set(self.hexdigest) - set("0123456789abcdef"):
            raise ValueError(
                f"{self.hexdigest!r} is not a valid {self.algorithm} checksum: it must have {2 * size} digits 0-9a-f"
            )

    def __str__(self) -> str:
        return f"{self.algorithm} {self.hexdigest}"


@dataclass(frozen=True)
class RemoteFile:
    """A file to download to ``path``. A size or checksum of None is not checked.

    ``content_problem`` is called on a file with the right size and checksum. It returns the problem, or "".
    """

    url: str
    path: Path
    size_bytes: int | None = None
    checksum: Checksum | None = None
    content_problem: Callable[[Path], str] | None = None

    @property
    def partial_path(self) -> Path:
        """Path of the partial file, until it is complete and verified."""
        return self.path.with_name(f".{self.path.name}.part")

    @property
    def num_present_bytes(self) -> int:
        """Bytes on disk, of the complete or the partial file."""
        for path in (self.path, self.partial_path):
            if path.is_file():
                return path.stat().st_size
        return 0


def _ignore(_count: int, _is_fresh: bool) -> None:
    pass


def remote_size(url: str, credentials: Credentials | None = None) -> int | None:
    """The size in bytes that the server reports, or None if it reports none. Raises TransferError."""
    try:
        response = _request("HEAD", url, credentials)
    except RefusedTransferError as error:
        if error.status in (405, 501):  # the server does not support HEAD
            return None
        raise
    length = response.headers.get("Content-Length")
    return int(length) if length is not None else None


def fetch_json(url: str) -> object:
    """The parsed JSON at a public address. Raises TransferError."""
    response = _request("GET", url, None)
    try:
        parsed: object = response.json()
    except requests.exceptions.JSONDecodeError:
        raise WrongContentError(f"{redacted(url)} did not return JSON; check the address") from None
    return parsed


def _request(method: str, url: str, credentials: Credentials | None) -> requests.Response:
    """The response to a small request. Temporary failures are retried. Raises TransferError."""
    wait_s = None
    for attempt in range(ATTEMPTS):
        _pause(attempt, wait_s)
        try:
            with _session(credentials) as session:
                response = session.request(method, url, timeout=TIMEOUT_S)
            _raise_for(response, url, credentials)
            return response
        except (requests.RequestException, _RetryError) as error:
            failure, wait_s = _cause(error), getattr(error, "wait_s", None)
    raise InterruptedTransferError(_failure_message(url, failure))


def download(remote: RemoteFile, credentials: Credentials | None = None, on_bytes: OnBytes = _ignore) -> None:
    """Download ``remote`` to its path, or resume its partial file. A file that already exists is only verified.

    Raises a TransferError: RefusedTransferError, InterruptedTransferError, WrongContentError or DiskFullError.
    """
    if remote.path.is_file():
        if problem := mismatch(remote, remote.path):
            raise WrongContentError(f"{remote.path} {problem}; delete it, and the next run downloads it again")
        on_bytes(remote.path.stat().st_size, False)
        return
    remote.path.parent.mkdir(parents=True, exist_ok=True)
    partial = _Partial(remote.partial_path)
    partial.drop_unless_resumable()
    on_bytes(partial.num_bytes, False)
    if not _is_complete(remote, partial):
        _fetch_with_retries(remote, partial, credentials, on_bytes)
        if problem := mismatch(remote, partial.path):
            on_bytes(-partial.num_bytes, False)
            partial.discard()
            raise WrongContentError(
                f"the file from {redacted(remote.url)} {problem}; it was deleted. Run again. If the error persists, "
                "compare size and checksum with the values that the publisher states"
            )
    partial.path.replace(remote.path)
    partial.discard()


def _is_complete(remote: RemoteFile, partial: _Partial) -> bool:
    """Whether the partial file has all bytes, because an earlier run stopped before the final rename."""
    is_whole = remote.checksum is not None and partial.num_bytes == remote.size_bytes
    return is_whole and not mismatch(remote, partial.path)


def _fetch_with_retries(
    remote: RemoteFile, partial: _Partial, credentials: Credentials | None, on_bytes: OnBytes
) -> None:
    num_failures, wait_s = 0, None
    while True:
        _pause(num_failures, wait_s)
        before = partial.num_bytes
        try:
            _fetch_once(remote.url, partial, credentials, on_bytes)
            break
        except (requests.RequestException, _RetryError) as error:
            failure, wait_s = _cause(error), getattr(error, "wait_s", None)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise DiskFullError(
                f"the disk of {remote.path.parent} is full; {remote.path.name} cannot be downloaded "
                f"({partial.num_bytes:,} bytes are done, {shutil.disk_usage(remote.path.parent).free:,} are free). "
                "Free some space and run again to resume"
            ) from None
        num_failures = 0 if partial.num_bytes > before else num_failures + 1
        if num_failures >= ATTEMPTS:
            raise InterruptedTransferError(_failure_message(remote.url, failure, partial.num_bytes))
        logger.warning("%s: %s; retrying from byte %d", redacted(remote.url), failure, partial.num_bytes)


def mismatch(remote: RemoteFile, path: Path) -> str:
    """The difference between the file at ``path`` and ``remote``'s size, checksum and content, or ""."""
    size = path.stat().st_size
    if remote.size_bytes is not None and size != remote.size_bytes:
        return f"has {size:,} bytes, not {remote.size_bytes:,}"
    expected = remote.checksum
    if expected is not None and (found := _hexdigest(path, expected.algorithm)) != expected.hexdigest:
        return f"has {expected.algorithm} {found}, not {expected.hexdigest}"
    return remote.content_problem(path) if remote.content_problem is not None else ""


def _hexdigest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


class _RetryError(TemporaryError):
    """The server is busy, or its answer cannot be used. ``wait_s``: the pause it asks for, if any."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class _Partial:
    """A partial file, and a second file with the ETag or date of the version that it belongs to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._version_path = path.with_name(f"{path.name}.version")

    @property
    def num_bytes(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def version(self) -> str:
        return self._version_path.read_text() if self._version_path.is_file() else ""

    def drop_unless_resumable(self) -> None:
        """Delete a partial file of unknown version: the file on the server may have changed since."""
        if not self.version or not self.num_bytes:
            self.discard()

    def start(self, version: str) -> None:
        self.discard()
        if version:
            self._version_path.write_text(version)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._version_path.unlink(missing_ok=True)


def _fetch_once(url: str, partial: _Partial, credentials: Credentials | None, on_bytes: OnBytes) -> None:
    if partial.num_bytes and not partial.version:  # the server reports no version
        on_bytes(-partial.num_bytes, False)
        partial.discard()
    start = partial.num_bytes
    headers = {"Range": f"bytes={start}-", "If-Range": partial.version} if start else {}
    with (
        _session(credentials) as session,
        session.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response,
    ):
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            on_bytes(-start, False)
            partial.discard()
            raise _RetryError(f"the server has no byte {start}")
        _raise_for(response, url, credentials)
        is_resumed = response.status_code == requests.codes.partial_content
        if is_resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            on_bytes(-start, False)
            partial.discard()
            raise _RetryError(f"requested bytes from {start}, received {response.headers.get('Content-Range')}")
        if not is_resumed:
            on_bytes(-start, False)
            partial.start(_version_of(response))
        with partial.path.open("ab") as file:
            for chunk in response.iter_content(CHUNK_BYTES):
                file.write(chunk)
                on_bytes(len(chunk), True)


def _version_of(response: requests.Response) -> str:
    """The validator for If-Range, or "": a strong ETag or a date. RFC 9110, 13.1.5, forbids weak ETags."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")


def _session(credentials: Credentials | None) -> requests.Session:
    """A session. ``requests`` drops the password on a redirect to another host, and reads netrc without one."""
    session = requests.Session()
    session.headers["Accept-Encoding"] = "identity"  # without compression, sizes and ranges count bytes of the file
    if credentials is not None:
        session.auth = (credentials.user, credentials.password)
    return session


def _raise_for(response: requests.Response, url: str, credentials: Credentials | None) -> None:
    status = response.status_code
    if status < 400:
        return
    message = f"{redacted(url)}: HTTP {status} {response.reason}"
    if status >= 500 or status in _RETRY_STATUSES:
        raise _RetryError(message, _retry_after_s(response.headers.get("Retry-After", "")))
    if status == requests.codes.unauthorized:
        has_sent = "Authorization" in response.request.headers
        message += ". " + (
            "The server did not accept the user name and password"
            if has_sent
            else "The server requires a user name and a password, and none was found"
        )
        message += credentials.remedy if credentials else f"; set them for {urlsplit(url).hostname} in ~/.netrc"
    elif status == requests.codes.forbidden:
        message += ". The server denies access to this file; ask its owner for access"
    elif status in (requests.codes.not_found, requests.codes.gone):
        message += ". The file does not exist at this address; if the address is from params.yaml, correct it there"
    raise RefusedTransferError(message, status)


def _retry_after_s(value: str) -> float | None:
    """The seconds of a ``Retry-After`` header, which is a number or a date; None for anything else."""
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _pause(num_failures: int, wait_s: float | None = None) -> None:
    if num_failures or wait_s:
        backoff_s = RETRY_WAIT_S * 2 ** max(0, num_failures - 1)
        time.sleep(min(MAX_RETRY_WAIT_S, backoff_s if wait_s is None else wait_s))


def _cause(error: Exception) -> str:
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT_S:.0f} s"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection closed before the end of the file"
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(error, requests.ConnectionError) and reason is not None:
        return redacted(_CONNECTION.sub("", str(reason)))
    return redacted(str(error)) or type(error).__name__


def _failure_message(url: str, failure: str, num_bytes: int | None = None) -> str:
    remedy = f"{num_bytes:,} bytes are kept, run again to resume" if num_bytes else "run again later"
    return f"{redacted(url)}: stopped after {ATTEMPTS} attempts without a new byte; last error: {failure}; {remedy}"
