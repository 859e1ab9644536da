"""The names of clips inside tars."""

from __future__ import annotations

import pytest

from pipeline.core.errors import UserError
from pipeline.shards.key import plain_name, sample_key


def test_keys_have_nothing_that_a_tar_reader_would_split() -> None:
    assert sample_key("s1/bbaf2n.v2 (a)") == "s1_bbaf2n_v2__a_"
    assert sample_key("A-b_9") == "A-b_9"
    for bad in ("", "x" * 81):
        with pytest.raises(UserError, match="1 to 80"):
            sample_key(bad)


def test_a_name_of_any_length_becomes_plain() -> None:
    assert plain_name("") == ""
    assert plain_name("é/" * 60) == "_" * 120
