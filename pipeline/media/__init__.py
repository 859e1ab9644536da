"""Video, sound and faces: the only package that knows OpenCV and FFmpeg."""
