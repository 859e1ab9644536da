"""The background reader: order, bound, waiting time, errors, closing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from pipeline.shards.index import IndexRow
from pipeline.shards.prefetch import Prefetcher
from pipeline.shards.stream import ClipStream

WriteShards = Callable[..., list[IndexRow]]


def counting(num: int, made: list[int] | None = None, seconds: float = 0.0) -> Iterator[int]:
    for number in range(num):
        time.sleep(seconds)
        if made is not None:
            made.append(number)
        yield number


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    assert condition()


def test_items_come_in_order_and_end() -> None:
    with Prefetcher(counting(20), depth=3) as prefetcher:
        assert list(prefetcher) == list(range(20))
        assert list(prefetcher) == []


def test_it_runs_ahead_by_its_depth_and_no_further() -> None:
    made: list[int] = []
    with Prefetcher(counting(50, made), depth=3) as prefetcher:
        wait_until(lambda: len(made) >= 4)
        time.sleep(0.05)
        assert len(made) == 4  # three ready, one in hand
        next(prefetcher)
        wait_until(lambda: len(made) >= 5)
        time.sleep(0.05)
        assert len(made) == 5


def test_waiting_is_measured() -> None:
    with Prefetcher(counting(5, seconds=0.04)) as slow_source:
        list(slow_source)
        assert 0.15 < slow_source.wait_seconds < 0.6
    with Prefetcher(counting(5)) as fast_source:
        for _ in fast_source:
            time.sleep(0.02)
        assert fast_source.wait_seconds < 0.05


def test_an_error_comes_after_the_items_before_it() -> None:
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        raise RuntimeError("shard 3 is gone")

    with Prefetcher(failing(), depth=5) as prefetcher:
        assert next(prefetcher) == 1
        assert next(prefetcher) == 2
        with pytest.raises(RuntimeError, match="shard 3 is gone"):
            next(prefetcher)


def test_closing_stops_the_thread_and_the_source() -> None:
    is_closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            is_closed.set()

    before = threading.active_count()
    prefetcher = Prefetcher(endless())
    next(prefetcher)
    prefetcher.close()
    prefetcher.close()
    assert is_closed.is_set()
    assert threading.active_count() == before
    with pytest.raises(ValueError, match="closed"):
        next(prefetcher)


def test_a_depth_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Prefetcher(counting(1), depth=0)


def test_the_state_beside_a_batch_is_the_one_after_it(tmp_path: Path, write_shards: WriteShards) -> None:
    """Resuming from the state of a consumed batch repeats and loses nothing, however far the thread has read."""
    write_shards()

    def batches(stream: ClipStream) -> Iterator[tuple[list[str], dict[str, int]]]:
        while True:
            keys = [clip.key for clip in islice(stream, 4)]
            yield keys, stream.state_dict()

    with Prefetcher(batches(ClipStream(tmp_path, "train", seed=0)), depth=6) as prefetcher:
        uninterrupted = list(islice(prefetcher, 12))
    _, state = uninterrupted[4]
    resumed_stream = ClipStream(tmp_path, "train", seed=0)
    resumed_stream.load_state_dict(state)
    with Prefetcher(batches(resumed_stream), depth=6) as prefetcher:
        assert list(islice(prefetcher, 7)) == uninterrupted[5:]
