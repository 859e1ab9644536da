"""Errors of ``params.yaml`` as lines with the key, the value and the allowed values."""

from __future__ import annotations

import difflib
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from pipeline.core.redact import redacted
from pipeline.params.training import VARIANT_OF
from pipeline.params.values import Section


def explained(error: ValidationError, whole: type[BaseModel]) -> list[str]:
    """One line for each error. ``whole`` declares all sections."""
    return [_explain(dict(item), whole) for item in error.errors()]


def _explain(item: dict[str, Any], whole: type[BaseModel]) -> str:
    loc = item["loc"]
    if loc[:1] == ("variants",) and len(loc) > 2 and loc[2] in VARIANT_OF:  # pydantic inserts the network's name
        siblings, loc = list(VARIANT_OF[loc[2]].model_fields), loc[:2] + loc[3:]
    else:
        siblings = _siblings(loc, whole)
    where = ".".join(str(part) for part in loc)
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
