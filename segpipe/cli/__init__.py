"""What is typed: commands that call a stage, a tool or the registry."""
