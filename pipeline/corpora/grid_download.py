"""Download the GRID corpus from Zenodo. The record lists files, sizes and MD5 checksums; each speaker is one zip."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ValidationError

from pipeline.core import atomic
from pipeline.core.errors import UserError
from pipeline.core.redact import redacted
from pipeline.corpora.archive_folder import Depot
from pipeline.fetch.archives import OnMember, Unpacked, unpack_zip
from pipeline.fetch.batch import alone_in
from pipeline.fetch.http import Checksum, RemoteFile, WrongContentError, fetch_json
from pipeline.params import GridParams

_SPEAKER_ZIP = re.compile(r"(s\d+)\.zip")


class _Links(BaseModel):
    self: str


class _Entry(BaseModel):
    key: str
    size: int
    checksum: str
    links: _Links


class _Record(BaseModel):
    """The fields of a Zenodo record that this module reads."""

    files: list[_Entry]


def download_grid(params: GridParams, root: Path, num_connections: int) -> None:
    """Download the clips of ``params.speakers`` as ``root/s1/bbaf2n.mpg``; of all speakers if that is empty.

    Speakers that are already unpacked are skipped. Raises TransferError, or UserError for a speaker that the record
    does not have.
    """
    assert params.url is not None
    depot = Depot(root)
    with alone_in(depot.folder):
        available = {remote.path.stem: remote for remote in _speaker_files(params.url, depot)}
        if absent := sorted(set(params.speakers) - set(available)):
            raise UserError(
                f"{redacted(params.url)} has no speaker {', '.join(absent)}; set dataset.grid.speakers in params.yaml "
                f"to some of: {', '.join(available)}"
            )
        wanted = [available[speaker] for speaker in dict.fromkeys(params.speakers or available)]
        todo = [
            remote
            for remote in wanted
            if not depot.is_unpacked(remote.path.stem, [remote.path.name], root / remote.path.stem)
        ]
        if not todo:
            return
        depot.fetch(todo, num_connections=num_connections, bytes_to_unpack=_unpacked_bytes)
        for remote in todo:
            speaker, names = remote.path.stem, [remote.path.name]
            unpacked = depot.unpack(names, partial(_unpack, speaker, root))
            depot.finish(speaker, names, unpacked, keep_archives=params.keep_archives)


def speaker_files(record: Any, folder: Path) -> list[RemoteFile]:
    """The speakers' archives of a parsed Zenodo record, in order of their numbers.

    Raises WrongContentError if ``record`` is not a Zenodo record of GRID.
    """
    try:
        parsed = _Record.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise WrongContentError(f"not a Zenodo record with files, sizes and checksums ({problem})") from None
    found = {match[1]: entry for entry in parsed.files if (match := _SPEAKER_ZIP.fullmatch(entry.key))}
    if not found:
        raise WrongContentError("the Zenodo record has no s1.zip, s2.zip, ..., so it is not a record of GRID")
    return [
        RemoteFile(entry.links.self, folder / f"{speaker}.zip", entry.size, _checksum(entry.checksum))
        for speaker, entry in sorted(found.items(), key=lambda item: int(item[0][1:]))
    ]


def _checksum(text: str) -> Checksum:
    """Parse ``md5:0123...``. Raises WrongContentError for any other text."""
    algorithm, _, hexdigest = text.partition(":")
    try:
        return Checksum(algorithm, hexdigest)
    except ValueError as error:  # hashlib does not know the algorithm, or the digest has the wrong form
        raise WrongContentError(f"not a Zenodo record with files, sizes and checksums ({error})") from None


def _speaker_files(url: str, depot: Depot) -> list[RemoteFile]:
    """The record's archives. The record is downloaded once: Zenodo never changes a published record."""
    path = depot.path_of("record.json")
    if path.is_file():
        kept = json.loads(path.read_text())
        if kept["url"] == url:
            return speaker_files(kept["record"], depot.folder)
    record = fetch_json(url)
    try:
        files = speaker_files(record, depot.folder)
    except WrongContentError as error:
        raise WrongContentError(f"{redacted(url)}: {error}; correct dataset.grid.url in params.yaml") from None
    atomic.write_json(path, {"url": url, "record": record})
    return files


def _unpacked_bytes(files: Sequence[RemoteFile]) -> int:
    """The archives' size: MPEG videos do not shrink in a zip."""
    return sum(file.size_bytes or 0 for file in files)


def _unpack(speaker: str, root: Path, paths: list[Path], on_position: OnMember) -> Unpacked:
    return unpack_zip(paths[0], root, place=partial(_place, speaker), on_position=on_position)


def _place(speaker: str, name: PurePosixPath) -> PurePosixPath | None:
    """Place clips directly in the speaker's folder, at whatever depth the archive has them. Skip other files."""
    is_clip = name.suffix == ".mpg" and not name.name.startswith(".") and "__MACOSX" not in name.parts
    return PurePosixPath(speaker, name.name) if is_clip else None
