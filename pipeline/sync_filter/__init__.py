"""Filtering of clips by lip sync, with a frozen network."""
