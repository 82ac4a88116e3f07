"""extra: whether the packages of ``segpipe[review]`` are installed."""

from importlib.util import find_spec

from segpipe.project.errors import DataError

PACKAGES = {  # name of each package of the extra to the module that is imported
    "alembic": "alembic",
    "argon2-cffi": "argon2",
    "cryptography": "cryptography",
    "python-multipart": "python_multipart",
}


def describe_missing() -> str | None:
    """The packages that are missing and how to get them; None if all are there."""
    missing = [name for name, module in PACKAGES.items() if find_spec(module) is None]
    if not missing:
        return None
    return f"the review needs {', '.join(missing)}: run `pip install 'segpipe[review]'`"


def require_extra() -> None:
    """Refuse to go on without these packages.

    Raises:
        DataError: If one of them is missing.
    """
    if lack := describe_missing():
        raise DataError(f"segpipe[review]: expected its packages, found that {lack}")
