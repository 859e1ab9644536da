"""Scoring a generator on held-out clips: who speaks with whose voice, what is generated, how it is judged."""
