"""The tables of the report: their cells, and what they leave out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.compare.paper import ABLATION, REAL_VIDEO, TABLE_1, WAV2LIP_GAN
from pipeline.compare.report_tables import (
    TABLE_1_ROWS,
    beside_paper,
    difference_table,
    edge_table,
    intervals_note,
    lip_table,
    probe_table,
    report_tables,
    seed_table,
    short_table,
)
from pipeline.compare.table import comparison, read_result
from tests.support.comparison_rows import ORDERED, comparison_of, row

WriteResult = Callable[..., Path]


def test_tables_beside_the_paper_have_a_dash_where_a_side_has_nothing() -> None:
    table = beside_paper([*ORDERED, row("lipgan", 9.5, 2.0, 40.0)], TABLE_1_ROWS, has_sync=True)
    lines = {line[0]: line[1:] for line in table.cells}
    assert lines["`lipgan` (LipGAN)"] == ["9.500", "10.330", "2.000", "3.199", "40.00", "4.861"]
    assert lines["`wav2lip` (Wav2Lip)"] == ["-", "6.386", "-", "7.789", "-", "4.887"]
    assert lines["`real` (Real video)"] == ["6.000", "6.736", "6.000", "7.838", "0.00", "-"]


def test_repeats_are_averaged_and_their_spread_is_shown() -> None:
    again = [
        row("lstm_cbam-2", 7.5, 2.0, 35.0, repeats="lstm_cbam"),
        row("lstm_cbam-3", 7.0, 3.5, 30.0, repeats="lstm_cbam"),
    ]
    rows = [*ORDERED, *again]
    (line,) = seed_table(rows, has_sync=True).cells
    assert line == ["`lstm_cbam`", "7.000 ± 0.500", "3.500 ± 1.500", "30.00 ± 5.00", "90% ± 0%", "1.00 ± 0.00", "3"]
    assert seed_table(ORDERED, has_sync=True).cells == []
    ours = {line[0]: line[1] for line in beside_paper(rows, ABLATION, has_sync=True).cells}
    assert ours["`lstm_cbam` (LSTM-CBAM)"] == "7.000"
    short = {line[0]: line[1:] for line in short_table(rows, has_sync=True).cells}
    assert short["lstm_cbam"] == ["7.000", "3.500", "30.00", "90%", "3"]
    assert short["real"] == ["6.000", "6.000", "0.00", "90%", "-"]
    assert list(short) == [r["variant"] for r in ORDERED]


def test_the_edge_table_shows_both_ways(write_result: WriteResult) -> None:
    rows = comparison([read_result(write_result("real", lse_d=[10.0], lse_c=[2.0]))], 0.9, 50, seed=1)["rows"]
    assert edge_table(rows, has_sync=True).cells == [["`real`", "10.000", "10.100", "2.000", "2.040"]]


def test_differences_from_the_first_generator() -> None:
    table = difference_table(comparison_of(ORDERED) | {"intervals": {"num_videos": 44}}, has_sync=True)
    assert table.header[0] == "`lstm_cbam` minus"
    assert table.cells[0] == ["`real`", "+0.500 [+0.300, +0.700] worse", "-1.000 [-1.200, -0.800] worse"]
    assert table.cells[1] == ["`no_lstm`", "-0.500 [-0.700, -0.300] better", "+1.000 [+0.800, +1.200] better"]
    vague = difference_table(comparison_of(ORDERED, reach=0.5) | {"intervals": {"num_videos": 50}}, has_sync=True)
    assert vague.cells[1][0] == "`no_lstm` (44 of 50 videos)"
    assert vague.cells[1][1] == "-0.500 [-1.000, +0.000] unclear"
    assert difference_table({"rows": ORDERED, "differences": {}}, has_sync=True).cells == []
    assert difference_table({"rows": ORDERED[:1], "differences": {}}, has_sync=True).cells == []


def test_lip_metrics_have_a_table_if_a_row_has_one() -> None:
    lacks = {"opening_correlation": None, "pause_motion_px": None}
    assert lip_table([row("real", 6.0, 6.0) | lacks], has_sync=True).cells == []
    table = lip_table(
        [row("real", 6.0, 6.0) | lacks | {"pause_motion_px": 0.125}, row("lstm_cbam", 7.0, 5.0) | lacks], has_sync=True
    )
    assert table.header == ["row", "opening ~ loudness ↑", "lips in pauses, px"]
    assert table.cells == [["`real`", "-", "0.12"], ["`lstm_cbam`", "-", "-"]]


def test_without_sync_no_table_has_a_score_of_the_evaluator(write_result: WriteResult) -> None:
    results = [read_result(write_result(name)) for name in ("real", "lstm_cbam", "no_lstm", "copy_input")]
    content = comparison(results, 0.95, 100, seed=1)
    whole, rest = report_tables(content, has_sync=True), report_tables(content, has_sync=False)
    assert "LSE-D ↓" in whole.scores.header and whole.edges.cells and whole.differences.cells
    assert rest.scores.header == ["row", "FID ↓", "1000 KID ↓", "jitter / real", "clips"]
    assert rest.scores.cells[1] == ["`lstm_cbam`", "10.00", "12.50", "1.00 [1.00, 1.00]", "9"]
    assert rest.table_1.header == ["row", "FID ours", "FID paper"]
    assert rest.edges.cells == [] and rest.differences.cells == []
    assert rest.lips == whole.lips and rest.probes == whole.probes
    assert short_table(content["rows"], has_sync=False).cells[0] == ["real", "10.00", "-"]


@pytest.mark.parametrize(("confidence", "said"), [(0.95, "95 %"), (0.975, "97.5 %"), (0.995, "99.5 %"), (0.29, "29 %")])
def test_the_level_of_the_intervals_is_not_rounded(confidence: float, said: str) -> None:
    note = intervals_note({"intervals": {"confidence": confidence, "num_videos": 20}})
    assert note.startswith(f"Square brackets: {said} confidence interval") and "too narrow" not in note


def test_printed_figures() -> None:
    """As printed; the two tables of the paper agree on its own model, and its ablation's base is not Wav2Lip + GAN."""
    assert (TABLE_1[-1].lse_d, TABLE_1[-1].lse_c, TABLE_1[-1].fid) == (6.207, 7.455, 4.806)
    assert (ABLATION[-1].lse_d, ABLATION[-1].lse_c, ABLATION[-1].fid) == (6.207, 7.455, 4.806)
    assert [p.variant for p in ABLATION] == ["no_lstm_cbam", "no_lstm", "no_cbam", "lstm_cbam"]
    assert max(ABLATION, key=lambda p: p.fid or 0).variant == "lstm_cbam"
    assert ABLATION[0].lse_d != WAV2LIP_GAN.lse_d
    assert REAL_VIDEO.lse_d > TABLE_1[-1].lse_d


def test_only_rows_with_a_generator_have_probes(write_result: WriteResult) -> None:
    rows = comparison([read_result(write_result(name)) for name in ("real", "no_lstm")], 0.9, 50, seed=1)["rows"]
    assert probe_table(rows, has_sync=True).cells == [["`no_lstm`", "0.900", "31.00 dB", "0.75", "25%", "4"]]
    assert probe_table(rows[:1], has_sync=True).cells == []
