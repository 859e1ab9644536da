"""Choices of the model registry, without imports."""

from typing import Literal

Alias = Literal["champion", "previous", "challenger"]
"""Names of a registered version: the model in use, the one before it, the last one that the gate refused."""
