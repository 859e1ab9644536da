"""User name and password for a server, from environment variables or netrc; never from parameters or arguments.

Errors and ``repr`` do not contain the password.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from requests.utils import get_netrc_auth

from pipeline.core.errors import UserError
from pipeline.core.proxies import LOOPBACK


@dataclass(frozen=True)
class Credentials:
    """User name and password. ``remedy`` is appended to the error of a refusal: it names their source."""

    user: str
    password: str = field(repr=False)
    remedy: str = ""


def from_environment(url: str, prefix: str, environment: Mapping[str, str] = os.environ) -> Credentials | None:
    """``PREFIX_USER`` and ``PREFIX_PASSWORD``; None if neither is set, in which case ``requests`` reads netrc.

    Raises UserError if only one is set, or if ``url`` is not https. Loopback addresses may use http.
    """
    names = f"{prefix}_USER", f"{prefix}_PASSWORD"
    user, password = (environment.get(name, "") for name in names)
    if not user and not password:
        if get_netrc_auth(url) is not None:
            _require_encryption(url)
        return None
    if not user or not password:
        given, missing = names if user else names[::-1]
        raise UserError(f"{given} is set but {missing} is not; set both, or unset {given} to use ~/.netrc")
    _require_encryption(url)
    remedy = f"; they come from the environment variables {names[0]} and {names[1]}"
    return Credentials(user, password, remedy)


def _require_encryption(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise UserError(f"{url} is not https, so the password would be sent unencrypted; use an https address")
