"""The command line: each command calls a stage, a tool or the registry."""
