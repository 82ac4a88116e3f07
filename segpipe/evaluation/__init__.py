"""Evaluation: how good predictions are, and how that is shown."""
