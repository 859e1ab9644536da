"""Rendered talking portraits: a shaded height field of a head with an animated mouth.

``Portrait(make_look(speaker, seed), size_px)`` paints the static layers once; ``render`` returns a frame.
"""

from pipeline.corpora.demo.portrait.look import Look, make_look
from pipeline.corpora.demo.portrait.mouth import MouthShape
from pipeline.corpora.demo.portrait.scene import HeadPose, Portrait

__all__ = ["HeadPose", "Look", "MouthShape", "Portrait", "make_look"]
