"""The digest of a file, compared with the published digest of "abc" (FIPS 180-4)."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.digest import sha256_of


def test_digest_is_sha256_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "b").write_bytes(b"abd")
    assert sha256_of(tmp_path / "b") != sha256_of(tmp_path / "a")
