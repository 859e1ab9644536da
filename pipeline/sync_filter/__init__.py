"""Which clips are in sync, by a frozen network."""
