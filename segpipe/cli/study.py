"""The commands that begin a study and bring it up to date: init and upgrade."""

from pathlib import Path
from typing import Annotated

import typer

from segpipe.cli.options import TOOLS
from segpipe.cli.project import HERE, read_networks

app = typer.Typer()


@app.command(rich_help_panel=TOOLS)
def init(
    study: Annotated[Path, typer.Argument(help="A new folder, or an empty one.")],
) -> None:
    """Make the folder of a study, for one data set, with no code in it.

    Example: segpipe init liver-ct
    """
    from segpipe.tools.study.init import init as tool

    for row in tool(study):
        typer.echo(row)


@app.command(rich_help_panel=TOOLS)
def upgrade(
    yes: Annotated[
        bool, typer.Option("--yes", help="Rewrite the files that nobody edited.")
    ] = False,
) -> None:
    """Say what the installed segpipe makes stale in this study; nothing runs.

    Example: segpipe upgrade
    """
    from segpipe.tools.study.upgrade import upgrade as tool

    for row in tool(HERE, read_networks(), rewrite=yes):
        typer.echo(row)
