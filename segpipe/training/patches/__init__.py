"""Patches: what a training step sees of a case."""
