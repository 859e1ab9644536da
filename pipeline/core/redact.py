"""Removing credentials from text before it is logged."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(?<=//)[^/@\s]+@")


def redacted(text: str) -> str:
    """The text without what stands between ``//`` and ``@`` in an address."""
    return _USERINFO.sub("***@", text)
