"""Comparing runs honestly: which seeds count, the tests, the verdicts, as text and as a page."""
