from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.compare.findings import findings as findings_of
from pipeline.compare.findings import limits
from pipeline.compare.paper import ABLATION, REAL_VIDEO, TABLE_1, WAV2LIP_GAN
from pipeline.compare.report import (
    TABLE_1_ROWS,
    beside_paper,
    comparison_markdown,
    difference_table,
    edge_table,
    intervals_note,
    probe_table,
    seed_table,
    version_table,
)
from pipeline.compare.seeds import averaged
from pipeline.compare.table import comparison, read_result
from pipeline.report.tables import Table

ARMS = ("lstm_cbam", "no_lstm", "no_cbam", "no_lstm_cbam")
WriteResult = Callable[..., Path]


def row(variant: str, lse_d: float, lse_c: float, fid: float = 20.0, **more: Any) -> dict[str, Any]:
    base = {
        "num_failed": 0,
        "num_rejected": 2,
        "within_one_frame": 0.9,
        "kid": 0.01,
        "jitter_ratio": 1.0,
        "versions": {"numpy": "2.1.0"},
    }
    figures = {"variant": variant, "lse_d": lse_d, "lse_c": lse_c, "fid": fid, "fid_num_images": 300}
    return {**figures, **base, **more}


ORDERED = [
    row("real", 6.0, 6.0, 0.0),
    row("lstm_cbam", 6.5, 5.0, 25.0),
    row("no_lstm", 7.0, 4.0),
    row("no_cbam", 7.1, 4.1),
    row("no_lstm_cbam", 7.5, 3.0),
    row("copy_input", 9.0, 1.0, 0.0),
]


def apart(rows: Sequence[Mapping[str, Any]], reach: float = 0.2) -> dict[str, Any]:
    """Differences of all rows, each known to ``reach`` either way."""
    found: dict[str, Any] = {}
    named = list(averaged(rows).items())
    for place, (one, ours) in enumerate(named):
        for other, theirs in named[place + 1 :]:
            means = {key: ours[key] - theirs[key] for key in ("lse_d", "lse_c")}
            figures = {key: [mean, mean - reach, mean + reach, 44] for key, mean in means.items()}
            found.setdefault(one, {})[other] = figures
    return found


def findings(rows: Sequence[Mapping[str, Any]], evaluator: str = "trained") -> list[str]:
    return findings_of(rows, apart(rows), evaluator)


def test_says_which_row_is_best_and_that_the_order_holds() -> None:
    text = "\n".join(findings(ORDERED))
    assert "`real` has the best LSE-D of all rows (6.000)." in text
    assert "`real` does not have the best" not in text
    assert "Best generator: `lstm_cbam` on LSE-D (6.500), LSE-C (5.000); `no_lstm` on FID (20.000)." in text
    assert "holds on LSE-D and holds on LSE-C" in text
    assert "Every generator has a higher LSE-C than the unchanged video `copy_input` (1.000)." in text


def test_says_so_where_real_is_not_the_best() -> None:
    rows = [row("real", 7.0, 6.0), row("lstm_cbam", 6.5, 7.0), row("copy_input", 9.0, 1.0)]
    text = "\n".join(findings(rows))
    assert "`lstm_cbam` has the best LSE-D of all rows (6.500)." in text
    assert "`real` does not have the best LSE-D (7.000)." in text


def test_an_evaluator_that_cannot_tell_is_called_so() -> None:
    of_fid_alone = "Best generator: `lstm_cbam` on FID (20.000)."
    rows = [row("real", 6.0, 6.0, within_one_frame=0.3), row("lstm_cbam", 6.5, 5.0), row("copy_input", 9.0, 1.0)]
    assert findings(rows)[0].startswith("The evaluator places only 30% of the real videos within one frame of sync: ")
    assert findings(rows)[1:] == [of_fid_alone]
    rows = [row("real", 7.0, 6.0), row("lstm_cbam", 6.5, 7.0), row("copy_input", 6.4, 1.0)]
    assert findings(rows)[0].startswith(
        "Real videos have a worse LSE-D (7.000) than the same videos with the audio of another clip"
    )
    assert findings(rows)[1:] == [of_fid_alone]
    assert "Do not use these LSE values" not in "\n".join(findings(ORDERED))


@pytest.mark.parametrize(
    ("evaluator", "remedy"),
    [
        ("trained", "raise train_evaluator.num_steps, use more clips, or set evaluate.lse.weights to judge-1"),
        ("judge-1", "set evaluate.lse.weights to null, which trains an evaluator on these clips, or to the path of"),
        ("official", "set evaluate.lse.weights to null, which trains an evaluator on these clips, or to judge-1"),
    ],
)
def test_the_remedy_depends_on_the_evaluator(evaluator: str, remedy: str) -> None:
    rows = [row("real", 6.0, 6.0, within_one_frame=0.3), row("lstm_cbam", 6.5, 5.0)]
    assert remedy in findings(rows, evaluator)[0]


def test_real_speech_that_scores_worse_than_drawn_mouths_is_told_first() -> None:
    rows = [row("real", 6.0, 6.0), row("lstm_cbam", 6.5, 7.0), row("no_lstm", 6.5, 6.1), row("copy_input", 9.0, 1.0)]
    assert findings(rows)[0].startswith(
        "`real` has a lower LSE-C (6.000) than `lstm_cbam`: "
    )  # no_lstm's lead may be 0
    assert "lower LSE-C" not in "\n".join(findings(ORDERED))


def test_says_where_the_order_breaks_and_which_arm_ignores_the_audio() -> None:
    rows = [r | {"lse_c": 0.5} if r["variant"] == "lstm_cbam" else r for r in ORDERED]
    text = "\n".join(findings(rows))
    broken = "`no_lstm` is not behind `lstm_cbam`, `no_cbam` is not behind `lstm_cbam`"
    assert f"holds on LSE-D and does not hold on LSE-C ({broken})" in text
    assert "No higher LSE-C than the unchanged video `copy_input` (1.000): `lstm_cbam`." in text


def test_baselines_are_compared_by_every_figure() -> None:
    assert "baselines" not in "\n".join(findings(ORDERED))
    baselines = [row("wav2lip", 6.55, 5.5), row("lipgan", 9.5, 2.0, 40.0), row("speech2vid", 11.0, 0.5, 60.0)]
    text = "\n".join(findings([*ORDERED, *baselines]))
    assert "against the baselines of the paper's Table 1 (`wav2lip`, `lipgan`, `speech2vid`)" in text
    assert "on LSE-D ahead of all; on LSE-C ahead of `lipgan`, `speech2vid`; on FID ahead of `lipgan`, " in text
    assert text.count("not established") == 1
    assert "On LSE-D its lead over `wav2lip` is not established: it may be 0." in text
    text = "\n".join(findings([*ORDERED, row("wav2lip", 6.1, 5.5), row("lipgan", 6.2, 5.6)]))
    assert "on LSE-D ahead of none; on LSE-C ahead of none" in text and "not established" not in text


def test_tables_beside_the_paper_have_a_dash_where_a_side_has_nothing() -> None:
    table = beside_paper([*ORDERED, row("lipgan", 9.5, 2.0, 40.0)], TABLE_1_ROWS)
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
    (line,) = seed_table(rows).cells
    assert line == ["`lstm_cbam`", "7.000 ± 0.500", "3.500 ± 1.500", "30.00 ± 5.00", "90% ± 0%", "1.00 ± 0.00", "3"]
    assert seed_table(ORDERED).cells == []
    text = "\n".join(findings(rows))
    assert "does not hold on LSE-D (`no_lstm` is not behind `lstm_cbam`) and does not hold on LSE-C (" in text
    assert "(means over 1 to 3 seeds)" in text
    assert "Best generator: `lstm_cbam` on LSE-D (7.000); `no_cbam` on LSE-C (4.100)" in text
    ours = {line[0]: line[1] for line in beside_paper(rows, ABLATION).cells}
    assert ours["`lstm_cbam` (LSTM-CBAM)"] == "7.000"


def test_the_edge_table_shows_both_ways(write_result: WriteResult) -> None:
    rows = comparison([read_result(write_result("real", lse_d=[10.0], lse_c=[2.0]))], 0.9, 50, seed=1)["rows"]
    assert edge_table(rows).cells == [["`real`", "10.000", "10.100", "2.000", "2.040"]]


@pytest.mark.parametrize(("gap", "is_doubtful"), [(0.05, True), (1.0, False)])
def test_an_order_that_may_be_none_is_called_not_established(gap: float, is_doubtful: bool) -> None:
    by_name = {r["variant"]: r for r in ORDERED}
    both = row("lstm_cbam", by_name["no_lstm"]["lse_d"] - gap, 5.0)
    text = "\n".join(findings([both if r["variant"] == "lstm_cbam" else r for r in ORDERED]))
    assert "holds on LSE-D and holds on LSE-C" in text
    said = "On LSE-D it is not established: the difference may be 0 between `no_lstm` and `lstm_cbam`"
    assert (said in text) is is_doubtful
    assert ("not established" in text) is is_doubtful


def test_a_lead_over_the_unchanged_video_that_may_be_none_is_not_established() -> None:
    rows = [row("lstm_cbam", 6.5, 1.1), row("no_lstm", 7.0, 3.0), row("no_cbam", 7.0, 0.9), row("copy_input", 9.0, 1.0)]
    text = "\n".join(findings(rows))
    assert "No higher LSE-C than the unchanged video `copy_input` (1.000): `no_cbam`." in text
    assert text.endswith("The lead is not established, because it may be 0: `lstm_cbam`.")


def test_without_intervals_nothing_is_established() -> None:
    text = "\n".join(findings_of(ORDERED, {}, "trained"))
    assert "On LSE-D it is not established" in text and "On LSE-C it is not established" in text


def _difference_table(comparison: Mapping[str, Any]) -> Table:
    return difference_table({"protocol": {"evaluator": "trained"}, **comparison})


def test_differences_from_the_first_generator() -> None:
    intervals = {"num_videos": 44}
    table = _difference_table({"rows": ORDERED, "differences": apart(ORDERED), "intervals": intervals})
    assert table.header[0] == "`lstm_cbam` minus"
    assert table.cells[0] == ["`real`", "+0.500 [+0.300, +0.700] worse", "-1.000 [-1.200, -0.800] worse"]
    assert table.cells[1] == ["`no_lstm`", "-0.500 [-0.700, -0.300] better", "+1.000 [+0.800, +1.200] better"]
    vague = _difference_table({"rows": ORDERED, "differences": apart(ORDERED, 0.5), "intervals": {"num_videos": 50}})
    assert vague.cells[1][0] == "`no_lstm` (44 of 50 videos)"
    assert vague.cells[1][1] == "-0.500 [-1.000, +0.000] unclear"
    assert _difference_table({"rows": ORDERED, "differences": {}}).cells == []
    deaf = [r | {"within_one_frame": 0.3} if r["variant"] == "real" else r for r in ORDERED]
    assert _difference_table({"rows": deaf, "differences": apart(deaf)}).cells == []
    assert _difference_table({"rows": ORDERED[:1], "differences": {}}).cells == []


@pytest.mark.parametrize(("confidence", "said"), [(0.95, "95 %"), (0.975, "97.5 %"), (0.995, "99.5 %"), (0.29, "29 %")])
def test_the_level_of_the_intervals_is_not_rounded(confidence: float, said: str) -> None:
    assert intervals_note({"intervals": {"confidence": confidence}}).startswith(
        f"Square brackets: {said} confidence interval"
    )


def test_limits_name_the_evaluator_and_a_small_number_of_images(protocol: dict[str, Any]) -> None:
    trained = "\n".join(limits(ORDERED, protocol))
    assert "evaluator trained in this checkout" in trained and "width 0.125" in trained
    assert "0 by construction" in trained
    assert "300 images" in trained and "different numbers" not in trained
    assert "rejected 2 held-out clips or parts of clips (reasons: data/clips/rejects.parquet)" in trained
    many = [r | {"fid_num_images": 2048} for r in ORDERED]
    official = "\n".join(limits(many, protocol | {"evaluator": "official"}))
    assert "official syncnet_v2" in official and "biased" not in official
    of_judge = "\n".join(limits(many, protocol | {"evaluator": "judge-1", "evaluator_width": 0.3125}))
    assert "come from judge-1 (the network of Chung & Zisserman 2016 at width 0.3125" in of_judge
    assert "hardly move" not in trained
    frozen = [*ORDERED[:1], ORDERED[1] | {"jitter_ratio": 0.01}]
    assert "Mouths hardly move (jitter under 5% of the real videos'): `lstm_cbam`." in "\n".join(
        limits(frozen, protocol)
    )
    fewer = [*ORDERED[:1], ORDERED[1] | {"fid_num_images": 295}]
    assert "rows have different numbers: `real` 300, `lstm_cbam` 295." in "\n".join(limits(fewer, protocol))


def test_markdown_has_every_row_the_paper_and_the_failures(write_result: WriteResult) -> None:
    failed = [{"clip_id": "s1/a|b", "reason": "too short"}]
    results = [read_result(write_result(name)) for name in ("real", *ARMS[1:])]
    results.append(read_result(write_result(ARMS[0], failures=failed)))
    content = comparison(results, 0.95, 100, seed=1)
    text = comparison_markdown(content, {r.variant: r.metrics["failures"] for r in results})
    for name in ("real", *ARMS):
        assert f"| `{name}`" in text
    assert "| `lstm_cbam` | s1/a\\|b | too short |" in text
    assert "| 100% [44%, 100%] | 1.00 [1.00, 1.00] | 3 |" in text  # three of three clips: 3 / (3 + 1.96 ** 2)
    assert "6.207" in text and "Wav2Lip + GAN" in text
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1


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
    assert probe_table(rows).cells == [["`no_lstm`", "0.900", "31.00 dB", "0.75", "25%", "4"]]
    assert probe_table(rows[:1]).cells == []


def test_rows_scored_with_other_versions_are_named(protocol: dict[str, Any]) -> None:
    assert version_table(ORDERED).header == ["package", "version"]
    assert version_table(ORDERED).cells == [["numpy", "2.1.0"]]
    rows = [*ORDERED[:1], row("no_lstm", 7.0, 4.0, versions={"numpy": "2.2.0", "torch": "2.11.0"})]
    assert version_table(rows).header == ["package", "`real`", "`no_lstm`"]
    assert version_table(rows).cells == [["numpy", "2.1.0", "2.2.0"], ["torch", "-", "2.11.0"]]
    assert "Rows were scored with different versions of `numpy` (listed below)" in "\n".join(limits(rows, protocol))
    assert "different versions" not in "\n".join(limits(ORDERED, protocol))
