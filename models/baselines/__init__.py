"""Baselines in the comparison: networks of earlier papers for the same 96x96 crops, in plain torch."""
