"""Compares all variants, the two bounds and the paper's values."""
