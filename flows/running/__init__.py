"""What flows need while they run: commands, workspaces and pages."""
