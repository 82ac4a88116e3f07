"""Experiments: claims of papers, tested on public data with one command each."""
