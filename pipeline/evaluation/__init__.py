"""Evaluation of generators on held-out clips: pairs of video and audio, generation and scores."""
