"""Volumes and label maps on grids in space, read and written."""
