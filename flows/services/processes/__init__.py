"""The processes of this machine: those that were started, and who listens."""
