"""The stages and everything that touches files, clocks, processes or the network."""
