"""Reading a prepared data set: IDX files, checks, held-out examples, resizing."""
