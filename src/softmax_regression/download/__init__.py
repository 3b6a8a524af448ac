"""Getting a data set: the registry, sources, transfer, and the prepared folder."""
