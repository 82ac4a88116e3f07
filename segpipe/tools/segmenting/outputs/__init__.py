"""What segmenting a study writes: its files, and the preview."""
