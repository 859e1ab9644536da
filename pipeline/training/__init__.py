"""Training of the sync expert, the evaluator and the generators."""
