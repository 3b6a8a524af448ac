"""One training: the Lightning loop, the solvers, the device."""
