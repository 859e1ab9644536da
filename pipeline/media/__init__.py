"""Video and audio input and output. Only this package uses FFmpeg."""
