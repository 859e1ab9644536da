"""Columns of the tables that a packaged generator reads and returns."""

INPUTS = ("face", "audio")
OUTPUT = "video"
