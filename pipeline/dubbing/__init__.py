"""Dubbing: a video's face and new speech in, the same video speaking it out, streamed in constant memory."""
