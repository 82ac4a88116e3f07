"""Survey all files of an import and decide how they become data/."""
