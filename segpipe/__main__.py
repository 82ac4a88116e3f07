"""The command line: one subcommand for each stage and tool."""

import atexit
import errno
import gc
import logging
import os
import platform
import sys
from contextlib import nullcontext
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer

from segpipe.cli import data, registry, stages, study, tools
from segpipe.cli.options import OnceEach
from segpipe.cli.reviewing import review
from segpipe.project.errors import DataError
from segpipe.project.progress import Lines, speaking

app = typer.Typer(
    cls=OnceEach,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for part in (stages, study, data, tools, registry, review):  # in the order of --help
    app.add_typer(part.app)


def _print_version(asked: bool) -> bool:
    """Print the versions that decide what a segmenter gives, and the device."""
    if not asked:
        return asked
    import torch

    device = "cpu"
    if torch.cuda.is_available():
        device = f"cuda ({torch.cuda.get_device_name()})"
    known = {
        "segpipe": version("segpipe"),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    words = ", ".join(f"{name} {number}" for name, number in known.items())
    typer.echo(f"{words}, {device}")
    raise typer.Exit


@app.callback()
def describe(
    _: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Show the versions of segpipe, Python and torch, and the device.",
        ),
    ] = False,
) -> None:
    """From a lab's own annotated images to segmentation networks it can trust.

    Run it in a project's folder. `dvc repro` runs the stages in their order.
    """


def main() -> None:
    """Run the command line; wrong data or a full disk end it with one message."""
    logging.basicConfig(
        format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=[Lines()]
    )
    logging.getLogger("segpipe").setLevel(os.environ.get("SEGPIPE_LOG", "INFO"))
    # A process that ends looks for garbage once more, silently and in vain: with all of
    # torch and MLflow for most of a second, or ten where others compute.
    atexit.register(gc.freeze)
    # Threads that wait for others spin for a while, at the cost of whoever shares the
    # cores. OpenMP reads it when torch is imported, and our processes inherit it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    first = os.environ.get("RANK", "0") == "0"  # of the processes of one training
    try:
        with speaking(_command()) if first else nullcontext():
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


def _command() -> str:
    """The command that was typed, as its lines name it."""
    return next((word for word in sys.argv[1:] if not word.startswith("-")), "segpipe")


def _end(message: str) -> NoReturn:
    typer.secho(f"error: {message}", fg="red", err=True)
    sys.exit(1)


def _is_full(error: OSError) -> bool:
    """Whether a disk or a quota is full; shutil and numpy give no error number."""
    words = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), " requested and ")
    return any(word in str(error) for word in words)


if __name__ == "__main__":
    main()
