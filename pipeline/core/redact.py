"""Removing credentials from text before it is logged."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(?<=//)[^/@\s]+@")


def redacted(text: str) -> str:
    """The text with the credentials of each address, between ``//`` and ``@``, replaced by ``***``."""
    return _USERINFO.sub("***@", text)
