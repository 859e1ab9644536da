"""``python -m pipeline score``: videos that any system made, under the judges of the pipeline's own rows."""
