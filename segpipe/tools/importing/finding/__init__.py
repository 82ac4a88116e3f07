"""Find the cases of a source: their files, by folders, names or patterns."""
