"""Peers: scripts of other libraries, each in its own environment."""
