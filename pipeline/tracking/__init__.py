"""MLflow tracking: the store and the runs."""
