"""Video and sound: the only package that imports FFmpeg's bindings."""
