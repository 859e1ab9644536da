"""Arrays in a temporary file, for data that grows with the length of an input."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

Value = TypeVar("Value", bound=np.generic)
Value_co = TypeVar("Value_co", bound=np.generic, covariant=True)

ROWS_AT_ONCE = 1 << 18


class ArrayRows(Protocol[Value_co]):
    """The rows of an `ArrayFile` or of an array in memory."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> NDArray[Value_co]: ...


def in_blocks(rows: ArrayRows[Value], stop: int | None = None, size: int = ROWS_AT_ONCE) -> Iterator[NDArray[Value]]:
    """Yields the rows up to ``stop``, by default all, in consecutive parts of at most ``size`` rows."""
    stop = len(rows) if stop is None else min(stop, len(rows))
    for start in range(0, stop, size):
        yield rows[start : min(start + size, stop)]


class ArrayFile(Generic[Value]):
    """An array of ``dtype`` that rows are appended to, in an unnamed temporary file.

    ``row_shape``: the shape without the first axis. A slice without a step is read from the file. The file is deleted
    with the object, or when the process ends. Raises OSError if the folder of temporary files is full.
    """

    def __init__(self, dtype: type[Value], row_shape: tuple[int, ...] = ()) -> None:
        self._file = tempfile.TemporaryFile(prefix="lipsmith-", buffering=0)  # noqa: SIM115
        self._dtype, self._row_shape, self._num_rows = np.dtype(dtype), row_shape, 0

    def append(self, rows: NDArray[Value]) -> None:
        """Append ``rows``, an array of the data type and the row shape of this one. Raises ValueError for another."""
        if rows.dtype != self._dtype or rows.shape[1:] != self._row_shape:
            wanted = ", ".join(["n", *map(str, self._row_shape)])
            raise ValueError(f"rows must be {self._dtype} [{wanted}], got {rows.dtype} {rows.shape}")
        left = _bytes_of(np.ascontiguousarray(rows))
        while left:
            left = left[os.write(self._file.fileno(), left) :]
        self._num_rows += len(rows)

    def extend(self, blocks: Iterable[NDArray[Value]]) -> Self:
        """Append all blocks; returns this array."""
        for block in blocks:
            self.append(block)
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        return self._num_rows, *self._row_shape

    def __len__(self) -> int:
        return self._num_rows

    def __getitem__(self, rows: slice, /) -> NDArray[Value]:
        start, stop, step = rows.indices(self._num_rows)
        if step != 1:
            raise ValueError(f"a slice of a file must have no step, got {rows}")
        found = np.empty((max(0, stop - start), *self._row_shape), self._dtype)
        left, position = _bytes_of(found), start * self._dtype.itemsize * int(np.prod(self._row_shape))
        while left:
            num = os.preadv(self._file.fileno(), [left], position)
            if num == 0:
                raise OSError(f"a temporary file has only {position} bytes")
            left, position = left[num:], position + num
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The whole array, in memory."""
        return np.asarray(self[:], dtype)


def _bytes_of(array: NDArray[Any]) -> memoryview:
    content: Any = array.reshape(-1).view(np.uint8)
    return memoryview(content)
