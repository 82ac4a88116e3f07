"""Tools: the commands that are not stages; only cli and flows call them."""
