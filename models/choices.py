"""Choices of the networks' configurations, without an import of torch."""

from typing import Literal

LstmOver = Literal["mel", "frames"]
"""mel: over the mel window's steps, before the audio encoder. frames: over the frames' audio embeddings, after it."""
