"""Speed, measured as ratios between ways of doing the same work, and how often verdicts err: `python -m benchmarks`."""
