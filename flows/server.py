"""The Prefect server that flows report to. Without PREFECT_API_URL each flow starts a temporary server."""

from __future__ import annotations

from urllib.parse import urlsplit

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL

from pipeline.core.errors import UserError
from pipeline.core.prefect_address import start_advice


def address() -> str | None:
    """PREFECT_API_URL from the environment or Prefect's profile, without user name and password; None if unset."""
    url = PREFECT_API_URL.value()
    if not url:
        return None
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def require_server() -> None:
    """Raise UserError if PREFECT_API_URL names a server that does not answer. A flow would raise a traceback."""
    named = address()
    if named is None:
        return
    with get_client(sync_client=True) as client:
        problem = client.api_healthcheck()
    if problem is not None:
        raise UserError(
            f"PREFECT_API_URL is {named}, which does not answer ({problem}); {start_advice(named)}, or unset "
            "PREFECT_API_URL: flows then start a temporary server"
        )
