"""Dubbing: renders a video's face with new speech, streaming in bounded memory."""
