"""What segmenting a study writes: files, the manifest, the preview."""
