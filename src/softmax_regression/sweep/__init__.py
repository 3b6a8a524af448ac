"""Many configurations in one pass over the data: plan, train together, rank by validation data."""
