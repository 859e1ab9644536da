"""Loading of trained networks, and inference on arrays."""
