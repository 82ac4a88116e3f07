"""The commands that register segmenters and move the name champion."""

from typing import Annotated

import typer

from segpipe.cli.options import REGISTRY
from segpipe.cli.project import HERE

Name = Annotated[
    str | None, typer.Option(help="Registered model; unless told, the data set's name.")
]
Why = Annotated[str, typer.Option(help="The reason; it stays with the version.")]

app = typer.Typer()


@app.command(rich_help_panel=REGISTRY)
def register(
    model: Annotated[str, typer.Argument(help="A name of the list models.")],
    name: Name = None,
) -> None:
    """Register the trained folds of a model as a new version, the candidate.

    Nothing is registered unless MLflow loads it back to the same labels.

    Example: segpipe register unet3d
    """
    from segpipe.registry.register import register_model

    version = register_model(model, name, tags={}, paths=HERE)
    names = "".join(f" @{alias}" for alias in version.aliases)
    typer.echo(f"{version.name} version {version.version}{names}")


@app.command(rich_help_panel=REGISTRY)
def models(
    name: Annotated[str | None, typer.Option(help="Only this one.")] = None,
) -> None:
    """List the registered segmenters, with their figures and aliases.

    Example: segpipe models --name phantom
    """
    from segpipe.tools.models import models as tool

    for row in tool(name, HERE):
        typer.echo(row)


@app.command(rich_help_panel=REGISTRY)
def promote(
    version: Annotated[int, typer.Argument(help="Number, as segpipe models shows it.")],
    why: Why,
    name: Name = None,
) -> None:
    """Make a version the champion; the champion until now becomes the previous one.

    Example: segpipe promote 3 --why "better on small vessels"
    """
    from segpipe.registry.promotion import promote as act
    from segpipe.registry.register import default_name

    act(name or default_name(HERE), str(version), why, HERE)
    models(name or default_name(HERE))


@app.command(rich_help_panel=REGISTRY)
def rollback(why: Why, name: Name = None) -> None:
    """Make the previous version the champion again.

    Example: segpipe rollback --why "misses the left kidney"
    """
    from segpipe.registry.promotion import rollback as act
    from segpipe.registry.register import default_name

    act(name or default_name(HERE), why, HERE)
    models(name or default_name(HERE))
