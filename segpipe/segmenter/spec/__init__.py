"""The folder of a segmenter: its spec, what its outputs mean, and its weights."""
