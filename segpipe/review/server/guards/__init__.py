"""The guards of the server: which requests reach it, how large and how often."""
