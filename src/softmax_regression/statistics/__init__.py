"""Is it better, or is it noise? Intervals, tests of trained models, and tests of configurations over seeds."""
