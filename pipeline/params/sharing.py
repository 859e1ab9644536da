"""Which outputs `dvc push` may send to a remote: the values of ``push`` in ``dvc.yaml``, from the section ``share``.

``dvc.yaml`` marks the outputs by ``type``. ``clips``: they show or list source clips. ``model``: trained weights. All
other outputs hold numbers and charts only, and are always sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.core.errors import UserError
from pipeline.params.file import Params

_FLAG = re.compile(r"\{type: (?P<type>clips|model), push: (?:true|false)\}")
_COMMAND = "python -m pipeline share"


@dataclass(frozen=True)
class SharedOutput:
    """One marked output of ``dvc.yaml``. ``is_pushed``: whether `dvc push` sends it."""

    path: str
    type: str
    is_pushed: bool


def may_share(params: Params, sources: Iterable[str]) -> dict[str, bool]:
    """Type of output -> whether the section ``share`` allows it for all of these sources of clips."""
    sources = tuple(sources)
    allowed = {"clips": params.share.clips, "model": params.share.models}
    return {kind: all(source in of_kind for source in sources) for kind, of_kind in allowed.items()}


def marked_outputs(dvc_yaml: str) -> list[SharedOutput]:
    """The outputs with a ``type`` in the text of a ``dvc.yaml``, in its order. Raises UserError if it is not YAML."""
    try:
        return list(_marked((yaml.safe_load(dvc_yaml) or {}).get("stages") or {}))
    except yaml.YAMLError as error:
        raise UserError(f"dvc.yaml is not valid YAML: {error}") from None


def _marked(stages: dict[str, Any]) -> Iterator[SharedOutput]:
    for stage in stages.values():
        for out in stage.get("do", stage).get("outs", []):
            for path, flags in out.items() if isinstance(out, dict) else ():
                if (kind := flags.get("type")) in ("clips", "model"):
                    yield SharedOutput(path, kind, flags.get("push", True))


def set_sharing(dvc_yaml: str, allowed: dict[str, bool]) -> str:
    """The text of a ``dvc.yaml`` with ``push`` of every marked output set to ``allowed``. All other bytes are kept.

    Raises UserError if an output is written in another form than ``{type: clips, push: true}``.
    """

    def flag(found: re.Match[str]) -> str:
        return f"{{type: {found['type']}, push: {str(allowed[found['type']]).lower()}}}"

    text = _FLAG.sub(flag, dvc_yaml)
    if odd := [out.path for out in marked_outputs(text) if out.is_pushed != allowed[out.type]]:
        raise UserError(
            f"dvc.yaml: the flags of {', '.join(odd)} must have the form {{type: clips, push: true}}; correct them, "
            "or restore the file with `git restore dvc.yaml`"
        )
    return text


def listed_source(dvc_lock: Path) -> str | None:
    """The source of the clips whose outputs ``dvc.lock`` lists; None if it lists none."""
    stages = (yaml.safe_load(dvc_lock.read_text()) or {}).get("stages", {}) if dvc_lock.is_file() else {}
    values = stages.get("download", {}).get("params", {}).get("params.yaml", {})
    source: str | None = values.get("dataset", {}).get("source")
    return source


def require_sharing_allowed(dvc_yaml: Path, params: Params) -> None:
    """Raise UserError if `dvc push` would send outputs that the section ``share`` excludes for the current source."""
    source = params.dataset.source
    allowed = may_share(params, [source])
    wrong = [out.path for out in marked_outputs(dvc_yaml.read_text()) if out.is_pushed and not allowed[out.type]]
    if wrong:
        raise UserError(
            f"dvc.yaml: `dvc push` would send {wrong[0]} to a remote, but share in params.yaml excludes it for the "
            f"source {source} ({len(wrong)} outputs in all); run `{_COMMAND}`, which corrects dvc.yaml"
        )
