"""The training curve as CSV and as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import pytest

from pipeline.report import plot_style
from pipeline.report.plot_style import save
from pipeline.training.curve import plot_curve, write_curve

ROWS = [
    {"step": 1.0, "loss": 0.4, "l1": 0.3, "learning_rate": 0.1},
    {"step": 2.0, "loss": 0.3, "l1": 0.2, "d_loss": 1.4, "learning_rate": 0.1},
    {"step": 2.0, "val_loss": 0.5, "val_l1": 0.25, "val_chance_loss": 4.0},
]


def test_a_scalar_without_a_value_at_a_step_is_an_empty_cell(tmp_path: Path) -> None:
    write_curve(tmp_path / "curve.csv", [ROWS[0], ROWS[1] | {"d_loss": 1 / 3}])
    assert (tmp_path / "curve.csv").read_text().splitlines() == [
        "step,loss,l1,learning_rate,d_loss",
        "1,0.4,0.3,0.1,",
        "2,0.3,0.2,0.1,0.333333",
    ]


def test_training_and_validation_share_a_panel_except_for_the_total_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, dict[str, list[list[float]]]] = {}

    def save_and_read(figure: Any, path: Path) -> None:
        for axis in figure.axes:
            if axis.get_visible():
                lines = {line.get_label(): line.get_xydata().tolist() for line in axis.lines}
                drawn[axis.get_title(loc="left")] = lines
        save(figure, path)

    monkeypatch.setattr(plot_style, "save", save_and_read)
    plot_curve(tmp_path / "curve.png", ROWS, "lstm_cbam")
    assert drawn == {
        "loss": {"training": [[1, 0.4], [2, 0.3]]},
        "l1": {"training": [[1, 0.3], [2, 0.2]], "validation": [[2, 0.25]]},
        "d loss": {"training": [[2, 1.4]]},
        "loss in validation": {"validation": [[2, 0.5]]},
    }
    assert cv2.imread(str(tmp_path / "curve.png")).std() > 0
