"""Running: the commands, workspaces and pages of flows that run."""
