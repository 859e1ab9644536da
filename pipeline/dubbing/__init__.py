"""Dubbing: renders a video's face with new speech, streaming in bounded memory.

Other programs use `Dubber`, which returns a `DubSummary`.
"""

from pipeline.dubbing.dubber import Dubber
from pipeline.dubbing.summary import DubSummary

__all__ = ["DubSummary", "Dubber"]
