"""Prefect flows: when the pipeline runs, in what order, with what retries, and who is told."""
