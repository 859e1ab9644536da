from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from pipeline.compare import plots
from pipeline.compare.plots import colours, plot_offsets, plot_scores, plot_training, read_curve
from pipeline.core.errors import DataError

PNG = b"\x89PNG\r\n\x1a\n"


def test_colours_differ_and_do_not_depend_on_the_bounds() -> None:
    with_bounds = colours(["real", "a", "b", "copy_input"])
    assert len(set(with_bounds.values())) == 4
    assert {name: with_bounds[name] for name in "ab"} == colours(["a", "b"])


def test_repeats_have_the_colour_of_what_they_repeat() -> None:
    found = colours(["real", "a", "a-2", "b", "b-2"], {"a-2": "a", "b-2": "b"})
    assert found["a"] == found["a-2"] != found["b"] == found["b-2"]
    assert found["b"] == colours(["a", "b"])["b"]


def test_scores_and_offsets_are_drawn_alike_twice(tmp_path: Path) -> None:
    rows = [
        {"variant": name, "lse_d": d, "lse_c": 9 - d, "fid": d, "lse_d_ci": [d - 1, d + 1], "lse_c_ci": [0, 9]}
        for name, d in (("real", 6.0), ("lstm_cbam", 7.0))
    ]
    histograms = {"real": {-1: 0, 0: 3, 1: 1}, "lstm_cbam": {-1: 4, 0: 0, 1: 0}}
    for name in ("first", "second"):
        plot_scores(rows, 0.95, tmp_path / name / "scores.png")
        plot_offsets(histograms, tmp_path / name / "offsets.png")
    for file in ("scores.png", "offsets.png"):
        content = (tmp_path / "first" / file).read_bytes()
        assert content.startswith(PNG)
        assert content == (tmp_path / "second" / file).read_bytes()


def test_a_withheld_metric_has_no_panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(plots, "save", lambda figure, path: drawn.append(figure))
    withheld = dict.fromkeys(("lse_d", "lse_c", "lse_d_ci", "lse_c_ci"))
    plot_scores([{"variant": name, "fid": 5.0} | withheld for name in ("real", "a")], 0.95, tmp_path / "scores.png")
    (figure,) = drawn
    assert len(figure.axes) == 1
    text = " ".join(str(item.get_text()) for item in figure.findobj(Text))
    assert "FID" in text and "LSE" not in text and "real videos" not in text


@pytest.mark.parametrize("has_intervals", [True, False])
def test_the_caption_explains_the_signs_that_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_intervals: bool
) -> None:
    """FID has no interval, and with few videos LSE has none either: they are bars."""
    drawn: list[Figure] = []
    monkeypatch.setattr(plots, "save", lambda figure, path: drawn.append(figure))
    intervals = {"lse_d_ci": [5.0, 7.0], "lse_c_ci": [4.0, 6.0]} if has_intervals else {}
    rows = [{"variant": name, "lse_d": 6.0, "lse_c": 5.0, "fid": 5.0} | intervals for name in ("real", "a")]
    plot_scores(rows, 0.95, tmp_path / "scores.png")
    (figure,) = drawn
    num_bars = [len(axis.patches) for axis in figure.axes]
    assert num_bars == ([0, 0, 2] if has_intervals else [2, 2, 2])
    caption = figure.get_supxlabel()
    assert ("dot: mean over clips; line: its 95 % bootstrap interval" in caption) is has_intervals
    assert "bar: value without an interval" in caption and "dashed: real videos" in caption


def test_curve_leaves_out_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    path.write_text("step,l1,val_l1\n10,0.5,\n20,0.25,0.3\n")
    curve = read_curve(path)
    assert curve == {"l1": [(10, 0.5), (20, 0.25)], "val_l1": [(20, 0.3)]}
    plot_training(
        {"a": curve, "b": {"l1": [(k, 1 / k) for k in range(1, 200)]}}, {"l1": "L1", "x": "X"}, tmp_path / "t.png"
    )
    assert (tmp_path / "t.png").read_bytes().startswith(PNG)


def test_training_without_any_known_column_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="l1"):
        plot_training({"a": {"other": [(1, 1.0)]}}, {"l1": "L1"}, tmp_path / "t.png")
