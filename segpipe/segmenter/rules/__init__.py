"""The rules of a segmenter: label maps that are corrected, and their instances."""
