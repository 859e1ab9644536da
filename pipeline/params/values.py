"""Types of values in ``params.yaml``, and the base class of sections."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from pipeline.core.errors import UserError

Fraction = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""numpy's global generator takes no larger seed."""


def _plain_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http or https address")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not contain a user name or password: set them in the environment or in ~/.netrc")
    return value


Address = Annotated[str, AfterValidator(_plain_address)]


def _without_secret(value: object) -> object:
    """A path or a URL of remote storage as text. Raises ValueError for a chain of URLs or a password."""
    text = str(value) if isinstance(value, Path) else value
    if isinstance(text, str) and "://" in text:
        if "::" in text:
            raise ValueError("must be a single URL such as s3://bucket/videos, not a chain of URLs")
        if urlsplit(text).password is not None:
            raise ValueError("must not contain a password: set it in the environment, as the driver documents")
    return text


Location = Annotated[str, BeforeValidator(_without_secret)]


def _branch_name(value: str) -> str:
    is_plain = re.fullmatch(r"\w[\w./-]*", value, re.ASCII) is not None
    parts = value.split("/")
    has_odd_part = any(not part or part.startswith(".") or part.endswith((".", ".lock")) for part in parts)
    if not is_plain or has_odd_part or ".." in value or value == "HEAD":
        raise ValueError("must be a name for a git branch, such as results: letters, digits, _, -, . and /")
    return value


BranchName = Annotated[str, AfterValidator(_branch_name)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ParamsError(UserError):
    """``params.yaml`` is not valid. The message has the key, the value and the allowed values."""


class Section(BaseModel):
    """A frozen section of ``params.yaml``. Unknown keys, NaN and infinity are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
