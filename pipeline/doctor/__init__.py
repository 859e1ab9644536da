"""``python -m pipeline doctor``: check the environment, and describe the clips after preprocessing."""
