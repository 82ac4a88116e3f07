"""Look at a source and propose the import: nothing is imported here."""
