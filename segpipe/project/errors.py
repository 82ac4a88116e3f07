"""DataError: the data, not the code, are wrong."""


class DataError(ValueError):
    """The data are wrong: names the file, the expected, the found and the mend."""
