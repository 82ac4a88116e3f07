"""The command line: one subcommand for each stage and tool."""

import logging
import os
import sys

import typer

from segpipe.cli import data, registry, stages, tools
from segpipe.project.errors import DataError

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
for part in (stages, data, tools, registry):  # in the order of --help
    app.add_typer(part.app)


@app.callback()
def describe() -> None:
    """From a lab's own annotated images to segmentation networks it can trust.

    Run it in a project's folder. `dvc repro` runs the stages in their order.
    """


def main() -> None:
    """Run the command line; an error in the data ends it with one message."""
    logging.basicConfig(
        format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr
    )
    logging.getLogger("segpipe").setLevel(os.environ.get("SEGPIPE_LOG", "INFO"))
    try:
        app()
    except DataError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(1)
    except PermissionError as error:
        why = (
            f"{error.filename}: expected a file or folder that may be used, found "
            f"{error.strerror}; allow it to the user that runs segpipe"
        )
        typer.secho(f"error: {why}", fg="red", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
