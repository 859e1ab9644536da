"""Scores finished videos of any system."""
