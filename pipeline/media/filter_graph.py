"""Filters of FFmpeg for single decoded frames."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from av.filter import Graph

CLOCK = Fraction(1, 1000)
"""Unit of the times of frames in a filter, s."""


def graph_for(frame: Any, name: str, arguments: str | None = None, **options: str) -> Graph:
    """A graph with the filter ``name`` for frames of the size and the format of ``frame``.

    ``arguments`` or ``options`` are those of the filter. `Graph.push` takes a frame, `Graph.pull` returns one.
    """
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=CLOCK)
    graph.link_nodes(source, graph.add(name, arguments, **options), graph.add("buffersink")).configure()
    return graph


def format_of(frame: Any) -> tuple[int, int, str]:
    """Width, height and pixel format of a frame. A graph takes frames of one format."""
    return frame.width, frame.height, frame.format.name
