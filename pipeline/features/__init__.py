"""Audio features of the networks and their alignment with video frames."""
