"""The comparison as Markdown and as a summary: what comes first, and what is missing if nothing can be said on sync."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.compare.report import comparison_markdown, summary_text
from pipeline.compare.table import comparison, read_result

ARMS = ("lstm_cbam", "no_lstm", "no_cbam", "no_lstm_cbam")
SCORES = {"real": (6.0, 7.0), "lstm_cbam": (7.0, 5.0), "no_lstm": (8.0, 4.0), "copy_input": (9.0, 1.0)}
"""LSE-D and LSE-C of every row."""
WriteResult = Callable[..., Path]


def content_of(write_result: WriteResult, within_one_frame: float = 1.0) -> dict[str, Any]:
    results = [
        read_result(write_result(name, [d, d + 0.1] * 10, [c, c + 0.1] * 10, within_one_frame=within_one_frame))
        for name, (d, c) in SCORES.items()
    ]
    return comparison(results, 0.95, 100, seed=1)


def headings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("#")]


def test_markdown_has_every_row_the_paper_and_the_failures(write_result: WriteResult) -> None:
    failed = [{"clip_id": "s1/a|b", "reason": "too short"}]
    results = [read_result(write_result(name)) for name in ("real", *ARMS[1:])]
    results.append(read_result(write_result(ARMS[0], failures=failed)))
    content = comparison(results, 0.95, 100, seed=1)
    text = comparison_markdown(content, {r.variant: r.metrics["failures"] for r in results})
    for name in ("real", *ARMS):
        assert f"| `{name}`" in text
    assert "| `lstm_cbam` | s1/a\\|b | too short |" in text
    assert "| 100% [70%, 100%] | -1 (12%) | 1.00 [1.00, 1.00] |" in text  # nine of nine clips: 9 / (9 + 1.96 ** 2)
    assert "| `lstm_cbam` | 0.38 [0.38, 0.38] | 0.12 [0.12, 0.12] |" in text
    assert "Intervals over 9 clips are too narrow" in text
    assert "6.207" in text and "Wav2Lip + GAN" in text
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1


def test_fewer_than_eight_clips_have_no_interval(write_result: WriteResult) -> None:
    results = [read_result(write_result(name, [d] * 7, [c] * 7)) for name, (d, c) in SCORES.items()]
    text = comparison_markdown(comparison(results, 0.95, 100, seed=1), {})
    assert "There are no intervals: they need at least 8 clips, and there are 7." in text
    assert "| 7.000 | 5.000 | 10.00 | 12.50 | 100% | -1 (12%) | 1.00 | 7 |" in text and "Square brackets" not in text
    assert "Paired differences" not in text and "[" not in text


def test_markdown_states_the_findings_first_then_the_caveats_then_the_tables(write_result: WriteResult) -> None:
    text = comparison_markdown(content_of(write_result), {})
    blocks = text.split("\n\n")
    assert blocks[0] == "# Comparison"
    assert blocks[1].startswith("The evaluator trained in this checkout can judge these clips: it places 100% of the")
    assert headings(text)[1:5] == ["## Findings", "## Caveats", "## Scores", "## Comparison with the paper"]
    lines = blocks[3].splitlines()
    assert lines[0] == (
        "- Clearly better than the unchanged video `copy_input` on LSE-D (9.050) and LSE-C (1.050): all 2 generators."
    )
    assert [line.split(":")[0] for line in lines[1:]] == ["- Best on LSE-D", "- Best on LSE-C", "- Best on FID"]
    assert "| `lstm_cbam`" not in text[: text.index("## Scores")]


def test_markdown_of_an_evaluator_that_cannot_judge_has_no_score_of_it(write_result: WriteResult) -> None:
    text = comparison_markdown(content_of(write_result, within_one_frame=0.5), {})
    fitness = text.split("\n\n")[1]
    assert fitness.startswith("The evaluator trained in this checkout cannot judge these clips: it places only 50.0%")
    assert "LSE" not in text.replace(fitness, "")
    assert "| row | FID ↓ | 1000 KID ↓ | jitter / real | clips |" in text
    assert "| row | opening ~ loudness ↑ | lips in pauses, px |" in text


def test_the_summary_has_the_answers_a_narrow_table_and_the_page(write_result: WriteResult) -> None:
    lines = summary_text(content_of(write_result), "artifacts/compare/index.html").splitlines()
    assert [line.split(" (")[0] for line in lines[:5]] == [
        "- The evaluator trained in this checkout can judge these clips: it places 100% of the real videos within one "
        "frame of sync",
        "- Clearly better than the unchanged video `copy_input` on LSE-D",
        "- Best on LSE-D: `lstm_cbam`",
        "- Best on LSE-C: `lstm_cbam`",
        "- Best on FID: `lstm_cbam`",
    ]
    assert lines[5:] == [
        "",
        "            LSE-D ↓  LSE-C ↑  FID ↓  ≤ 1 frame ↑  seeds",
        "real          6.050    7.050  10.00         100%      -",
        "lstm_cbam     7.050    5.050  10.00         100%      1",
        "no_lstm       8.050    4.050  10.00         100%      1",
        "copy_input    9.050    1.050  10.00         100%      -",
        "",
        "Caveats, intervals, charts and videos: artifacts/compare/index.html",
    ]


def test_the_summary_of_an_evaluator_that_cannot_judge_has_no_score_of_it(write_result: WriteResult) -> None:
    lines = summary_text(content_of(write_result, within_one_frame=0.5), "index.html").splitlines()
    assert "cannot judge these clips" in lines[0] and lines[1].startswith("- Best on FID: ")
    assert lines[3:5] == ["            FID ↓  seeds", "real        10.00      -"]
