"""Networks and losses in plain torch: no file access, no logging, no choice of device."""
