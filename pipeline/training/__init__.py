"""What the SyncNet, evaluator and generator trainings share."""
