"""Speed, measured as ratios between ways of doing the same work: `python -m benchmarks`."""
