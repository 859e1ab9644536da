"""Scoring finished videos, of whatever system."""
