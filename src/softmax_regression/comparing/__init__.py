"""Comparing runs honestly: which runs, what they say, as text and as a page."""
