"""Settings of the web app. The module imports no heavy package."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pipeline.core.errors import UserError
from pipeline.core.proxies import LOOPBACK, LOOPBACK_HOST

LABEL = "generated mouth"
"""The label that the app draws by default."""
PASSWORD_VARIABLE = "LIPSMITH_APP_PASSWORD"


@dataclass(frozen=True, kw_only=True)
class AppLimits:
    """What one user may ask for, and how long files are kept. The operator sets them on the command line."""

    max_file_mb: int = 200
    max_seconds: int = 120
    """Longest video and longest voice, s."""
    max_side_px: int = 3840
    """Longest side of a frame, px."""
    max_waiting: int = 20
    """Number of requests that may wait. Others are refused."""
    keep_minutes: int = 60
    """Time after which uploads and results are removed."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise UserError(f"--{name.replace('_', '-')} is {value}; it must be at least 1")

    @property
    def sentence(self) -> str:
        """The limits as the page states them."""
        return (
            f"Files of up to {self.max_file_mb} MB, {self.max_seconds} s and {self.max_side_px} pixels a side. Uploads "
            f"and results are removed after {self.keep_minutes} minutes."
        )


@dataclass(frozen=True, kw_only=True)
class AppAddress:
    """Where the app listens, and who may use it."""

    host: str = LOOPBACK_HOST
    port: int = 7860
    user: str | None = None
    """The password is in the environment variable ``LIPSMITH_APP_PASSWORD``."""

    def credentials(self) -> tuple[str, str] | None:
        """User and password; None without a user.

        Raises UserError for a user without a password, and for a host beyond this machine without a user.
        """
        if self.user:
            if not (password := os.environ.get(PASSWORD_VARIABLE)):
                raise UserError(
                    f"--user {self.user} needs a password; set the environment variable {PASSWORD_VARIABLE}"
                )
            return self.user, password
        if self.host not in LOOPBACK:
            raise UserError(
                f"--host {self.host} opens the app to other machines; give --user NAME and set the environment "
                f"variable {PASSWORD_VARIABLE} to a password"
            )
        return None
