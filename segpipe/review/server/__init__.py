"""The server of the review: it answers browsers on this machine."""
