"""One training, or many in one pass: the loop, the solvers, the outcome and its files."""
