"""Origin: which project, commit and code a result comes from."""
