"""The Prefect server that flows report to. Without PREFECT_API_URL each flow starts a temporary server."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL

from pipeline.core.errors import UserError
from pipeline.core.prefect_address import PASSWORD_ADVICE, start_advice


def address() -> str | None:
    """PREFECT_API_URL from the environment or Prefect's profile, without user name and password; None if unset."""
    url = PREFECT_API_URL.value()
    if not url:
        return None
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def require_server() -> None:
    """Raise UserError if PREFECT_API_URL names a server that does not answer, or that denies access.

    A flow would raise a traceback.
    """
    named = address()
    if named is None:
        return
    with get_client(sync_client=True) as client:
        problem = client.api_healthcheck()  # servers answer it without a password
        denied = _denial(client) if problem is None else None
    if denied is not None:
        raise UserError(f"PREFECT_API_URL is {named}, which denies access ({denied}); {PASSWORD_ADVICE}")
    if problem is not None:
        raise UserError(
            f"PREFECT_API_URL is {named}, which does not answer ({problem}); {start_advice(named)}, or unset "
            "PREFECT_API_URL: flows then start a temporary server"
        )


def _denial(client: SyncPrefectClient) -> int | None:
    """The status with which the server denies access, if it does."""
    try:
        client.api_version()
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        return status if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) else None
    return None
