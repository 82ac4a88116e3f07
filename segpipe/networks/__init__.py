"""One system of the literature a file, faithful to its paper."""
