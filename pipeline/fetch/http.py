"""One file over HTTP: resumed where it stopped, tried again while that helps, checked before it gets its name."""

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
"""What a broken connection can lose at most."""
TIMEOUT_S = 30.0
ATTEMPTS = 5
"""Tries in a row that bring no new byte before a transfer is given up."""
RETRY_WAIT_S = 1.0
MAX_RETRY_WAIT_S = 60.0
_WORTH_ANOTHER_TRY = frozenset({408, 425, 429})
_CONNECTION = re.compile(r"^(<.*?>|HTTPS?Connection\(.*?\)): ")
"""The object that begins what urllib3 says about a connection."""

OnBytes = Callable[[int, bool], None]
"""Told of bytes that are there now: how many (negative where they were thrown away), and whether they came just now."""


class TransferError(LipsmithError):
    """A file could not be had; the message says which, why, and what to do."""


class RefusedTransferError(TransferError, UserError):
    """The server says no (401, 403, 404, ...): waiting changes nothing."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class InterruptedTransferError(TransferError, TemporaryError):
    """The connection or the server failed; what came so far is kept, so trying again goes on from there."""


class WrongContentError(TransferError, DataError):
    """What came is not the published file; it was removed."""


class DiskFullError(TransferError, UserError):
    """No room for the file; what came so far is kept."""


@dataclass(frozen=True)
class Checksum:
    """``algorithm`` is one of hashlib's, ``hexdigest`` in lower case."""

    algorithm: str
    hexdigest: str

    def __post_init__(self) -> None:
        size = hashlib.new(self.algorithm, usedforsecurity=False).digest_size
        if len(self.hexdigest) != 2 * size or set(self.hexdigest) - set("0123456789abcdef"):
            raise ValueError(f"{self.hexdigest!r} is no {self.algorithm} checksum ({2 * size} digits 0-9a-f)")

    def __str__(self) -> str:
        return f"{self.algorithm} {self.hexdigest}"


@dataclass(frozen=True)
class RemoteFile:
    """A file to have at ``path``; ``None`` means not published, hence not checked.

    ``content_problem`` looks into bytes whose size and checksum are right: what is wrong with them, empty where nothing
    is.
    """

    url: str
    path: Path
    size_bytes: int | None = None
    checksum: Checksum | None = None
    content_problem: Callable[[Path], str] | None = None

    @property
    def partial_path(self) -> Path:
        """Where its bytes are collected until they are complete and checked."""
        return self.path.with_name(f".{self.path.name}.part")

    @property
    def num_present_bytes(self) -> int:
        """Bytes already on disk, complete or not."""
        for path in (self.path, self.partial_path):
            if path.is_file():
                return path.stat().st_size
        return 0


def _ignore(_count: int, _is_fresh: bool) -> None:
    pass


def remote_size(url: str, credentials: Credentials | None = None) -> int | None:
    """The file's size in bytes as the server tells it, None where it does not. Raises TransferError."""
    try:
        response = _answer("HEAD", url, credentials)
    except RefusedTransferError as error:
        if error.status in (405, 501):  # a server that knows no HEAD
            return None
        raise
    length = response.headers.get("Content-Length")
    return int(length) if length is not None else None


def fetch_json(url: str) -> object:
    """The parsed answer of a public address. Raises TransferError."""
    response = _answer("GET", url, None)
    try:
        parsed: object = response.json()
    except requests.exceptions.JSONDecodeError:
        raise WrongContentError(f"{redacted(url)} did not answer with JSON; is the address right?") from None
    return parsed


def _answer(method: str, url: str, credentials: Credentials | None) -> requests.Response:
    """What the server answers to a small request, asked again as long as that may help. Raises TransferError."""
    wait_s = None
    for attempt in range(ATTEMPTS):
        _pause(attempt, wait_s)
        try:
            with _session(credentials) as session:
                response = session.request(method, url, timeout=TIMEOUT_S)
            _raise_for(response, url, credentials)
            return response
        except (requests.RequestException, _TryAgainError) as error:
            failure, wait_s = _cause(error), getattr(error, "wait_s", None)
    raise InterruptedTransferError(_gave_up(url, failure))


def download(remote: RemoteFile, credentials: Credentials | None = None, on_bytes: OnBytes = _ignore) -> None:
    """Have ``remote`` at its path, going on from the bytes of an earlier try. A file that is there is only checked.

    Raises TransferError: RefusedError, InterruptedTransferError, WrongContentError, DiskFullError.
    """
    if remote.path.is_file():
        if problem := mismatch(remote, remote.path):
            raise WrongContentError(f"{remote.path} {problem}; remove it to have it fetched again")
        on_bytes(remote.path.stat().st_size, False)
        return
    remote.path.parent.mkdir(parents=True, exist_ok=True)
    partial = _Partial(remote.partial_path)
    partial.drop_unless_resumable()
    on_bytes(partial.num_bytes, False)
    if not _is_all_there(remote, partial):
        _fetch_to_the_end(remote, partial, credentials, on_bytes)
        if problem := mismatch(remote, partial.path):
            on_bytes(-partial.num_bytes, False)
            partial.discard()
            raise WrongContentError(
                f"what came from {redacted(remote.url)} {problem}; it was removed. Run again, and if it happens again "
                "compare size and checksum with those the publisher states"
            )
    partial.path.replace(remote.path)
    partial.discard()


def _is_all_there(remote: RemoteFile, partial: _Partial) -> bool:
    """Whether an earlier run was stopped between the last byte and the end of the check."""
    is_whole = remote.checksum is not None and partial.num_bytes == remote.size_bytes
    return is_whole and not mismatch(remote, partial.path)


def _fetch_to_the_end(
    remote: RemoteFile, partial: _Partial, credentials: Credentials | None, on_bytes: OnBytes
) -> None:
    fruitless, wait_s = 0, None
    while True:
        _pause(fruitless, wait_s)
        before = partial.num_bytes
        try:
            _fetch_once(remote.url, partial, credentials, on_bytes)
            break
        except (requests.RequestException, _TryAgainError) as error:
            failure, wait_s = _cause(error), getattr(error, "wait_s", None)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise DiskFullError(
                f"no room left for {remote.path.name} on the disk of {remote.path.parent} "
                f"({partial.num_bytes:,} bytes are there, {shutil.disk_usage(remote.path.parent).free:,} free); free "
                "some and run again, it goes on from there"
            ) from None
        fruitless = 0 if partial.num_bytes > before else fruitless + 1
        if fruitless >= ATTEMPTS:
            raise InterruptedTransferError(_gave_up(remote.url, failure, partial.num_bytes))
        logger.warning("%s: %s; trying again from byte %d", redacted(remote.url), failure, partial.num_bytes)


def mismatch(remote: RemoteFile, path: Path) -> str:
    """What is wrong with the bytes at ``path``, empty where nothing is."""
    size = path.stat().st_size
    if remote.size_bytes is not None and size != remote.size_bytes:
        return f"has {size:,} bytes, not {remote.size_bytes:,}"
    wanted = remote.checksum
    if wanted is not None and (found := _hexdigest(path, wanted.algorithm)) != wanted.hexdigest:
        return f"has {wanted.algorithm} {found}, not {wanted.hexdigest}"
    return remote.content_problem(path) if remote.content_problem is not None else ""


def _hexdigest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


class _TryAgainError(TemporaryError):
    """The server asks for patience, or gave something that cannot be used."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class _Partial:
    """Bytes of an unfinished file and, beside them, the ETag or date of the version they belong to."""

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
        """Bytes whose version is unknown cannot be continued: the file may have changed since."""
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
    if partial.num_bytes and not partial.version:  # this server names no version
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
            raise _TryAgainError(f"the server has no byte {start}")
        _raise_for(response, url, credentials)
        is_resumed = response.status_code == requests.codes.partial_content
        if is_resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            on_bytes(-start, False)
            partial.discard()
            raise _TryAgainError(f"asked for bytes from {start}, got {response.headers.get('Content-Range')}")
        if not is_resumed:
            on_bytes(-start, False)
            partial.start(_version_of(response))
        with partial.path.open("ab") as file:
            for chunk in response.iter_content(CHUNK_BYTES):
                file.write(chunk)
                on_bytes(len(chunk), True)


def _version_of(response: requests.Response) -> str:
    """What may stand in If-Range, empty where nothing may: a weak ETag is not for continuing (RFC 9110, 13.1.5)."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")


def _session(credentials: Credentials | None) -> requests.Session:
    """``requests`` drops the password when it is sent on to another host, and reads netrc where none is given."""
    session = requests.Session()
    session.headers["Accept-Encoding"] = "identity"  # sizes and ranges count the file's own bytes
    if credentials is not None:
        session.auth = (credentials.user, credentials.password)
    return session


def _raise_for(response: requests.Response, url: str, credentials: Credentials | None) -> None:
    status = response.status_code
    if status < 400:
        return
    said = f"{redacted(url)}: HTTP {status} {response.reason}"
    if status >= 500 or status in _WORTH_ANOTHER_TRY:
        raise _TryAgainError(said, _retry_after_s(response.headers.get("Retry-After", "")))
    if status == requests.codes.unauthorized:
        has_sent = "Authorization" in response.request.headers
        said += ". " + (
            "The server did not accept the user name and password"
            if has_sent
            else "The server wants a user name and a password, none was found"
        )
        said += credentials.remedy if credentials else f"; a line for {urlsplit(url).hostname} in ~/.netrc gives them"
    elif status == requests.codes.forbidden:
        said += ". The server knows who asks and does not hand this file out: ask its owner for access"
    elif status in (requests.codes.not_found, requests.codes.gone):
        said += ". There is no such file at that address; if it is from params.yaml, check it there"
    raise RefusedTransferError(said, status)


def _retry_after_s(value: str) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, given as a number or as a date."""
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _pause(fruitless: int, wait_s: float | None = None) -> None:
    if fruitless or wait_s:
        patience_s = RETRY_WAIT_S * 2 ** max(0, fruitless - 1)
        time.sleep(min(MAX_RETRY_WAIT_S, patience_s if wait_s is None else wait_s))


def _cause(error: Exception) -> str:
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT_S:.0f} s"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection ended in the middle of the file"
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(error, requests.ConnectionError) and reason is not None:
        return redacted(_CONNECTION.sub("", str(reason)))
    return redacted(str(error)) or type(error).__name__


def _gave_up(url: str, failure: str, num_bytes: int | None = None) -> str:
    kept = f"; the {num_bytes:,} bytes that came are kept, run again to go on" if num_bytes else "; run again later"
    return (
        f"{redacted(url)}: gave up after {ATTEMPTS} tries in a row without a new byte, the last said: {failure}{kept}"
    )
