"""``python -m pipeline doctor``: is this place fit to run the pipeline, and what do its clips look like?"""
