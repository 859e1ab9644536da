"""Trained networks, ready for use: reading them from disk, and calling them on arrays."""
