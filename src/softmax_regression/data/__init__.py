"""Data sets by name: where they come from, their files and digests, reading and checking them."""
