"""The commands with which people review a version."""

import logging
from typing import Annotated

import typer

from segpipe.cli.options import OnceEach
from segpipe.cli.project import HERE, read_compute

app = typer.Typer(
    name="review",
    cls=OnceEach,
    no_args_is_help=True,
    help="Let people look at a version and decide.",
)
log = logging.getLogger(__name__)


@app.command()
def build(
    version: Annotated[
        str, typer.Argument(help="Number of the version, or models:/NAME@ALIAS.")
    ],
    name: Annotated[
        str | None,
        typer.Option(help="Registered model; by default the data set's name."),
    ] = None,
) -> None:
    """Draw the cases of a version for readers, and blind them.

    Example: segpipe review build models:/liver@candidate
    """
    from segpipe.registry.register import default_name
    from segpipe.review.build import build as tool
    from segpipe.segmenter.spec import SCHEME

    uri = version
    if not version.startswith(SCHEME):
        uri = f"{SCHEME}{name or default_name(HERE)}/{version}"
    folder = tool(uri, compute=read_compute(), paths=HERE)
    typer.echo(str(folder))
