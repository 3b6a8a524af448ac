"""Functions and random numbers that have the same bits on every machine, for NumPy and torch."""
