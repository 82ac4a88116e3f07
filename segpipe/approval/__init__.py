"""Signed records of reviews: who decided what about a segmenter, and what it allows."""
