"""The commands: what is typed, handed on to a stage, a tool or the registry."""
