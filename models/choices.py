"""Choices of the networks' configurations, without an import of torch."""

from typing import Literal

LstmOver = Literal["mel", "frames"]
"""mel: over the mel window's steps, before the audio encoder. frames: over the frames' audio embeddings, after it."""

Predicts = Literal["image", "change"]
"""image: the face. change: what to add to a copy of the face input, see `models.generator.copy_logits`."""
