"""The audio inputs of the networks, and which of them belong to which video frame."""
