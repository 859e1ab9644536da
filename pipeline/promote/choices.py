"""Choices of the model registry. The module imports only ``typing``, so that command lines start quickly."""

from typing import Literal

Alias = Literal["champion", "previous", "challenger"]
"""Aliases of registered versions: the model in use, its predecessor, the last model that the gate refused."""
