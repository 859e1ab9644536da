"""Baselines in the comparison: networks of earlier papers for the same face crops, in plain torch."""
