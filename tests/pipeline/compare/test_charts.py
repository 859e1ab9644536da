"""The page's charts as SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from pipeline.compare.charts import intervals

SVG = "{http://www.w3.org/2000/svg}"


def labels(*names: str) -> list[tuple[str, float, str]]:
    """Of each row's label the text, the x at which it ends, and its title."""
    rows = [{"variant": name, "lse_d": 7.0 + k, "lse_d_ci": [6.5 + k, 7.5 + k]} for k, name in enumerate(names)]
    found = [
        text for text in ET.fromstring(intervals(rows, "lse_d", 2)).iter(f"{SVG}text") if "end" in text.get("class", "")
    ]
    return [("".join(text.itertext()), float(text.get("x", "nan")), text.findtext(f"{SVG}title", "")) for text in found]


@pytest.mark.parametrize("name", ["no_lstm", "no_lstm_cbam-seed2", "a" * 26])
def test_a_rows_label_has_room_for_its_name(name: str) -> None:
    """At 7.5 px a letter; it ends at x."""
    short, long = labels("real", name)
    assert long == (name, short[1], "") and long[1] >= 7.5 * len(name)


def test_a_name_too_long_for_any_label_loses_its_middle_and_keeps_a_title() -> None:
    name = "wav2lip_with_everything_that_we_could_think_of-seed2"
    ((text, end, title),) = labels(name)
    shown = text.removeprefix(title)
    assert title == name and shown.startswith("wav2lip_with") and shown.endswith("-seed2") and "…" in shown
    assert 7.5 * len(shown) <= end == 200
