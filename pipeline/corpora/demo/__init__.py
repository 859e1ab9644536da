"""The demo source: rendered speakers with synthesised speech."""
