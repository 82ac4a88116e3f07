"""Measures of two label maps: overlap, surfaces, partitions."""
