"""Video and sound: the only package that knows FFmpeg."""
