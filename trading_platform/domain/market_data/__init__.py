"""Market data: which bars there are, when they are final, which can be believed, and what to ask for."""
