"""The cases of a data set: files, split and prepared arrays."""
