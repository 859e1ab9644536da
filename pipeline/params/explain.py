"""Errors of ``params.yaml`` as lines with the key, the value and the allowed values."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from pipeline.core.redact import redacted
from pipeline.params.training import VARIANT_OF
from pipeline.params.values import Section

RENAMED: Mapping[str, tuple[str, str]] = {
    "train_gan.use_decoder_cbam": ("train_gan.cbam_in", "encoders in place of false, both in place of true"),
}
"""Key of an earlier version -> the key in its place, and how to write its values."""


def explained(error: ValidationError, whole: type[BaseModel]) -> list[str]:
    """One line for each error. ``whole`` declares all sections.

    A missing key has no line of its own if its former name is given.
    """
    items: list[dict[str, Any]] = [dict(item) for item in error.errors()]
    former = {_dotted(item["loc"]) for item in items if item["type"] == "extra_forbidden"} & RENAMED.keys()
    named = {RENAMED[key][0] for key in former}
    return [_explain(item, whole) for item in items if item["type"] != "missing" or _dotted(item["loc"]) not in named]


def _dotted(loc: tuple[Any, ...]) -> str:
    return ".".join(str(part) for part in loc)


def _explain(item: dict[str, Any], whole: type[BaseModel]) -> str:
    loc = item["loc"]
    if loc[:1] == ("variants",) and len(loc) > 2 and loc[2] in VARIANT_OF:  # pydantic inserts the network's name
        siblings, loc = list(VARIANT_OF[loc[2]].model_fields), loc[:2] + loc[3:]
    else:
        siblings = _siblings(loc, whole)
    where = _dotted(loc)
    if where in RENAMED:
        key, values = RENAMED[where]
        return f"{where}: the key is now {key}; write {values}"
    if item["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(str(loc[-1]), siblings, n=1, cutoff=0.4)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        return f"{where}: unknown key{hint}"
    if item["type"] == "missing":
        known = "an example in another variant" if loc[:1] == ("variants",) else "it"
        return f"{where}: missing; `git show HEAD:params.yaml` shows {known}, with a comment"
    if item["type"].startswith("union_tag"):
        return f"{where}.network: must be {', '.join(VARIANT_OF)} (given {item['ctx'].get('tag', 'nothing')})"
    message = item["msg"].removeprefix("Value error, ")
    is_single = not isinstance(item["input"], dict | Section)
    return f"{where or 'params'}: {message}" + (f" (given {redacted(repr(item['input']))})" if is_single else "")


def _siblings(loc: tuple[Any, ...], whole: type[BaseModel]) -> list[str]:
    model: Any = whole
    for part in loc[:-1]:
        field = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        if field is None:  # below a key that the user names, such as a variant
            return []
        model = field.annotation
        if not hasattr(model, "model_fields"):
            model = next((a for a in get_args(model) if hasattr(a, "model_fields")), model)
    return list(getattr(model, "model_fields", {}))
