"""The databases of the servers: which they are, and patience while one is busy."""
