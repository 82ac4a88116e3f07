"""Corrections: masks that people changed, what that cost, and where the masks go."""
