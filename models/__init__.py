"""Networks and losses in plain torch, without file access, logging or device selection."""
