"""Origin: which project, data and code a result comes from."""
