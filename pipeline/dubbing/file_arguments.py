"""Checks the arguments of a dub that name files, before anything is computed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.core import atomic
from pipeline.core.errors import UserError
from pipeline.media.errors import MediaError, NoAudioError
from pipeline.media.writer import require_video_name

_PICTURES, _SOUND = "a video, a picture or a folder of pictures", "a sound file, or a video with sound"
_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):/+(.+)")


def require_output(out: Path, inputs: Sequence[tuple[str, Path]]) -> None:
    """Raises UserError if ``out`` cannot be written, or is one of the inputs. Creates its folder.

    ``inputs``: the option of each input, and its path. Also removes what earlier dubs to ``out`` left behind when they
    were killed.
    """
    for flag, path in (*inputs, ("--out", out)):
        require_local(flag, path)
    require_video_name(out)
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; give a file, such as {out / 'out.mp4'}")
    atomic.require_not_input(out, "--out", inputs)
    atomic.require_writable(out, "--out")
    atomic.remove_abandoned(out)


@contextmanager
def naming_options(inputs: Sequence[tuple[str, Path]]) -> Iterator[None]:
    """In this block, a MediaError of an input names its option and what is allowed there.

    ``inputs``: as for `require_output`.
    """
    try:
        yield
    except MediaError as error:
        near = [flag for flag, path in inputs if path == error.path] or [
            flag for flag, path in inputs if path == error.path.parent
        ]
        if not near:
            raise
        flag = near[-1 if isinstance(error, NoAudioError) else 0]  # a file may be both --face and --audio
        raise error.of_option(flag, _PICTURES if flag == "--face" else _SOUND) from None


def require_local(flag: str, path: Path) -> None:
    """Raises UserError for a URL, and for ``-`` as the name of standard input or output."""
    text = str(path)
    if text == "-":
        what = "write to a file and send that on" if flag == "--out" else "save it to a file and give that"
        raise UserError(f"{flag} - : standard input and output are not supported; {what}")
    if (url := _URL.fullmatch(text)) and len(url[1]) > 1 and not path.exists():
        address = f"{url[1]}://{url[2]}"  # a path has no double slash
        if flag == "--out":
            raise UserError(f"--out {address} is a URL; write to a file and upload it")
        raise UserError(f"{flag} {address} is a URL; download it and give the file: curl -L -o FILE '{address}'")
