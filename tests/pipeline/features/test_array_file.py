"""Arrays in a temporary file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.features.array_file import ArrayFile, in_blocks

OPEN_FILES = Path("/proc/self/fd")


@pytest.mark.parametrize("row_shape", [(), (3,), (2, 5)])
def test_slices_are_those_of_the_array(row_shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).normal(size=(50, *row_shape)).astype(np.float32)
    file = ArrayFile(np.float32, row_shape).extend([array[:7], array[7:7], array[7:]])
    assert (len(file), file.shape) == (50, array.shape)
    for rows in (slice(None), slice(3, 9), slice(-4, None), slice(40, 99), slice(9, 3), slice(50, 60)):
        np.testing.assert_array_equal(file[rows], array[rows])
    np.testing.assert_array_equal(np.asarray(file), array)
    file.append(array[:2])
    np.testing.assert_array_equal(file[49:], array[[49, 0, 1]])


def test_an_empty_file() -> None:
    file = ArrayFile(np.int16)
    assert file[:].shape == file.shape == (0,)
    assert list(in_blocks(file)) == []


def test_other_rows_and_steps_are_refused() -> None:
    file = ArrayFile(np.int16)
    for rows in (np.zeros(3, np.int32), np.zeros((3, 1), np.int16)):
        with pytest.raises(ValueError, match=r"rows must be int16 \[n\], got"):
            file.append(rows)
    with pytest.raises(ValueError, match="no step"):
        file[::2]


@pytest.mark.parametrize(("stop", "sizes"), [(None, [4, 4, 2]), (8, [4, 4]), (5, [4, 1]), (99, [4, 4, 2]), (0, [])])
def test_blocks(stop: int | None, sizes: list[int]) -> None:
    array = np.arange(10)
    blocks = list(in_blocks(array, stop, 4))
    assert [len(block) for block in blocks] == sizes
    np.testing.assert_array_equal(np.concatenate([array[:0], *blocks]), array[:stop])


def test_the_file_is_deleted_with_the_array(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = len(list(OPEN_FILES.iterdir()))
    file = ArrayFile(np.int16)
    file.append(np.zeros(9, np.int16))
    assert list(tmp_path.iterdir()) == []
    del file
    assert len(list(OPEN_FILES.iterdir())) == before
