"""What a running flow needs: commands, a workspace and its page."""
