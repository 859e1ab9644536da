"""One table over every arm, its bounds and the paper's figures."""
