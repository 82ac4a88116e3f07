"""Held-out cases: the figures of an epoch, and what is chosen by them at the end."""
