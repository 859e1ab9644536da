"""Reads a list of dubs, a CSV file with one job a line. The module imports no heavy package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from pipeline.core.csv_table import TableRow, read_table
from pipeline.core.errors import UserError
from pipeline.dubbing.file_arguments import require_local
from pipeline.dubbing.options import DubOptions, require_options
from pipeline.dubbing.segments import parse_time, read_segments
from pipeline.dubbing.who import parse_who

_NOT_IN_LISTS = ("on_progress", "keep_frames")
"""Options of one dub that a list cannot have. Kept frames would remain if a run is killed, and stop the next one."""
FILE_COLUMNS = ("face", "audio", "out")
_REQUIRED = ("face", "out")


@dataclass(frozen=True, kw_only=True)
class DubJob:
    """One dub: absolute paths, and the options of a call of `Dubber`. ``audio`` is None if segments name the speech."""

    face: Path
    audio: Path | None
    out: Path
    options: DubOptions

    @property
    def inputs(self) -> Iterator[Path]:
        """The files that the dub reads."""
        yield self.face
        yield from (path for path in (self.audio, self.options.get("drive")) if path is not None)
        yield from (Path(segment.audio) for segment in self.options.get("segments", ()))


@dataclass(frozen=True, kw_only=True)
class ListedJob:
    """A line of the list. ``fields`` is its text by column; ``job`` is None if the line is unusable for ``reason``."""

    line: int
    fields: Mapping[str, str]
    job: DubJob | None = None
    reason: str | None = None


def option_columns() -> tuple[str, ...]:
    """The columns that a list may have beside ``FILE_COLUMNS``."""
    return tuple(name for name in get_type_hints(DubOptions) if name not in _NOT_IN_LISTS)


def read_jobs(path: Path) -> list[ListedJob]:
    """The jobs of a CSV file with the columns ``face``, ``audio``, ``out``, and options of ``dub``.

    Relative paths start at the folder of the list. An empty field means the default. Raises UserError for a file that
    is no such list. An unusable line has a reason instead of a job.
    """
    rows = read_table(path, str(path), _REQUIRED, (*FILE_COLUMNS, *option_columns()))
    if not rows:
        raise UserError(f"{path}: the list has no job")
    return list(_without_conflicts(_listed(path.absolute().parent, row) for row in rows))


def _listed(folder: Path, row: TableRow) -> ListedJob:
    try:
        if row.fault:
            raise UserError(row.fault)
        return ListedJob(line=row.line, fields=row.fields, job=_parsed(folder, row.fields))
    except UserError as error:
        return ListedJob(line=row.line, fields=row.fields, reason=str(error))


def _parsed(folder: Path, fields: Mapping[str, str]) -> DubJob:
    for name in _REQUIRED:
        if not fields[name]:
            raise UserError(f"the column {name} is empty")
    audio = fields.get("audio")
    options = {name: _value(folder, name, fields[name]) for name in option_columns() if fields.get(name)}
    require_options(options)
    return DubJob(
        face=_path(folder, "face", fields["face"]),
        audio=_path(folder, "audio", audio) if audio else None,
        out=_path(folder, "out", fields["out"]),
        options=cast(DubOptions, options),
    )


def _value(folder: Path, name: str, text: str) -> Any:
    if name in ("start", "end"):
        return parse_time(text)
    if name == "segments":
        segments = read_segments(_path(folder, name, text), name)
        return [replace(segment, audio=_direct(Path(segment.audio))) for segment in segments]
    if name == "who":
        parse_who(text)
        return text
    hint = get_type_hints(DubOptions)[name]
    if get_origin(hint) is Literal:
        return text
    (kind,) = (part for part in get_args(hint) or (hint,) if part is not type(None))
    if kind is Path:
        return _path(folder, name, text)
    try:
        return kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise UserError(f"{name} is {text!r}; allowed: {what}") from None


def _path(folder: Path, name: str, text: str) -> Path:
    require_local(name, Path(text))
    return _direct(folder / text)


def _direct(path: Path) -> Path:
    """The same file without ``..`` in its path. The file itself may be a link, which keeps its name."""
    return path.parent.resolve() / path.name if ".." in path.parts else path


def _without_conflicts(listed: Iterable[ListedJob]) -> Iterator[ListedJob]:
    """The jobs, of which those whose output is an input or an earlier output have a reason instead."""
    listed = list(listed)
    readers = {path.resolve(): item.line for item in reversed(listed) if item.job for path in item.job.inputs}
    writers: dict[Path, int] = {}
    for item in listed:
        if item.job is None:
            yield item
            continue
        out = item.job.out.resolve()
        if out in writers:
            yield replace(item, job=None, reason=f"out {out} is also the out of line {writers[out]}")
        elif out in readers:
            yield replace(item, job=None, reason=f"out {out} is an input of line {readers[out]}")
        else:
            writers[out] = item.line
            yield item
