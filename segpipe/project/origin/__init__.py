"""Origin: which project, data and commit a result comes from."""
