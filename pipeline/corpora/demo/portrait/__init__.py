"""Rendered talking portraits: a lit relief of a head with a mouth that articulates.

`Portrait(make_look(speaker, seed), size_px)` paints the still layers once; `render` draws a frame.
"""

from pipeline.corpora.demo.portrait.look import Look, make_look
from pipeline.corpora.demo.portrait.mouth import MouthShape
from pipeline.corpora.demo.portrait.scene import HeadPose, Portrait

__all__ = ["HeadPose", "Look", "MouthShape", "Portrait", "make_look"]
