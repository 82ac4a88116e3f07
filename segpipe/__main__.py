"""The command line: one subcommand for each stage and tool."""

import errno
import logging
import os
import sys
from typing import NoReturn

import typer

from segpipe.cli import data, registry, stages, tools
from segpipe.cli.options import OnceEach
from segpipe.project.errors import DataError

app = typer.Typer(
    cls=OnceEach,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for part in (stages, data, tools, registry):  # in the order of --help
    app.add_typer(part.app)


@app.callback()
def describe() -> None:
    """From a lab's own annotated images to segmentation networks it can trust.

    Run it in a project's folder. `dvc repro` runs the stages in their order.
    """


def main() -> None:
    """Run the command line; wrong data or a full disk end it with one message."""
    logging.basicConfig(
        format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr
    )
    logging.getLogger("segpipe").setLevel(os.environ.get("SEGPIPE_LOG", "INFO"))
    try:
        app()
    except DataError as error:
        _end(str(error))
    except PermissionError as error:
        _end(
            f"{error.filename}: expected a file or folder that may be used, found "
            f"{error.strerror}; allow it to the user that runs segpipe"
        )
    except OSError as error:
        if not _is_full(error):
            raise
        _end(
            f"expected room on the disk, found none ({error}); free some, then run it "
            "again"
        )


def _end(message: str) -> NoReturn:
    typer.secho(f"error: {message}", fg="red", err=True)
    sys.exit(1)


def _is_full(error: OSError) -> bool:
    """Whether a disk or a quota is full; shutil and numpy give no error number."""
    words = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), " requested and ")
    return any(word in str(error) for word in words)


if __name__ == "__main__":
    main()
