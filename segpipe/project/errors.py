"""DataError: the error for wrong data, as opposed to wrong code."""


class DataError(ValueError):
    """Wrong data: names the file, what was expected and found, and what to do."""
