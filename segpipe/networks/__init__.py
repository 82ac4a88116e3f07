"""One published network per file, faithful to its paper."""
