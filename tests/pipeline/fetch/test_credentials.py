from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.core.redact import redacted
from pipeline.fetch.credentials import from_environment

HTTPS = "https://example.org/data"


def test_user_and_password_are_set_together_or_not_at_all() -> None:
    assert from_environment(HTTPS, "X", {}) is None
    found = from_environment(HTTPS, "X", {"X_USER": "anna", "X_PASSWORD": "hunter2"})
    assert found is not None
    assert (found.user, found.password) == ("anna", "hunter2")
    assert "hunter2" not in repr(found)
    with pytest.raises(UserError, match="X_USER is set but X_PASSWORD is not"):
        from_environment(HTTPS, "X", {"X_USER": "anna"})
    with pytest.raises(UserError, match="X_PASSWORD is set but X_USER is not") as caught:
        from_environment(HTTPS, "X", {"X_PASSWORD": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_a_password_needs_https_except_on_loopback() -> None:
    environment = {"X_USER": "anna", "X_PASSWORD": "hunter2"}
    with pytest.raises(UserError, match="not https"):
        from_environment("http://example.org/data", "X", environment)
    assert from_environment("http://127.0.0.1:8000/data", "X", environment) is not None


def test_a_password_from_netrc_needs_https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine example.org login anna password hunter2\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with pytest.raises(UserError, match="not https"):
        from_environment("http://example.org/data", "X", {})
    assert from_environment("https://example.org/data", "X", {}) is None
    assert from_environment("http://example.com/data", "X", {}) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://anna:pw@example.org/x failed", "https://***@example.org/x failed"),
        ("https://example.org/a@b", "https://example.org/a@b"),
    ],
)
def test_redacted_addresses_have_no_user_info(text: str, shown: str) -> None:
    assert redacted(text) == shown
