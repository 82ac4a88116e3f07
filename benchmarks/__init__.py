"""Benchmarks: speed and memory as ratios to peers, measured in one run."""
