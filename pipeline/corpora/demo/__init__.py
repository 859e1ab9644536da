"""Source ``demo``: rendered speakers with synthesised speech."""
