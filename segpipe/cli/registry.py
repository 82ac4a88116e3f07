"""The commands that register segmenters and move the alias champion."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segpipe.cli.options import REGISTRY, importing
from segpipe.cli.project import HERE
from segpipe.project.errors import DataError

if TYPE_CHECKING:
    from segpipe.registry.mlflow_model.approved import Warrant
    from segpipe.registry.versions import Version

Name = Annotated[
    str | None, typer.Option(help="Registered model; by default the data set's name.")
]
Why = Annotated[str, typer.Option(help="The reason; it is kept with the version.")]
Signer = Annotated[
    str | None,
    typer.Option("--as", help="Name of the key that signs, as `review users` shows."),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(help="File that holds the password of who signs; else it is asked."),
]

app = typer.Typer()
log = logging.getLogger(__name__)


@app.command(rich_help_panel=REGISTRY)
def register(
    model: Annotated[str, typer.Argument(help="A name of the list models.")],
    name: Name = None,
    trained_by: Annotated[
        list[str] | None,
        typer.Option(help="Who trained it, beside this account; may be repeated."),
    ] = None,
) -> None:
    """Register the trained folds of a model as a new version, the candidate.

    It is registered only if MLflow loads it and it gives the same labels.

    Example: segpipe register unet3d
    """
    with importing():
        from segpipe.registry.register import register_model

    who = tuple(trained_by or ())
    version = register_model(model, name, tags={}, paths=HERE, trained_by=who)
    names = "".join(f" @{alias}" for alias in version.aliases)
    typer.echo(f"{version.name} version {version.version}{names}")
    for row in next_steps(model, version):
        log.info(row)


@app.command(rich_help_panel=REGISTRY)
def models(
    name: Annotated[str | None, typer.Option(help="List only this model.")] = None,
) -> None:
    """List the registered segmenters, with their figures and aliases.

    Example: segpipe models --name phantom
    """
    from segpipe.tools.models import models as tool

    for row in tool(name, HERE):
        typer.echo(row)


@app.command(rich_help_panel=REGISTRY)
def promote(
    version: Annotated[int, typer.Argument(help="Number, as `segpipe models` shows.")],
    why: Why,
    name: Name = None,
    signer: Signer = None,
    password_file: PasswordFile = None,
    emergency: Annotated[
        bool,
        typer.Option(
            "--emergency", help="Without approvals, signed, for a short time."
        ),
    ] = False,
) -> None:
    """Make a version the champion; the champion until now becomes the previous one.

    Where review.yaml asks for approvals, it is signed: --as says by whom.

    Example: segpipe promote 3 --why "better on small vessels"
    """
    with importing():
        from segpipe.registry.promotion import promote as tool
        from segpipe.registry.register import default_name

    name = name or default_name(HERE)
    warrant = _ask_warrant(signer, password_file, emergency=emergency)
    _tell_champion(tool(name, str(version), why, HERE, warrant))
    models(name)


@app.command(rich_help_panel=REGISTRY)
def rollback(
    why: Why,
    name: Name = None,
    signer: Signer = None,
    password_file: PasswordFile = None,
) -> None:
    """Make the previous version the champion again.

    Where review.yaml asks for approvals, it is signed: --as says by whom.

    Example: segpipe rollback --why "misses the left kidney"
    """
    from segpipe.registry.promotion import rollback as tool
    from segpipe.registry.register import default_name

    name = name or default_name(HERE)
    warrant = _ask_warrant(signer, password_file, emergency=False)
    _tell_champion(tool(name, why, HERE, warrant))
    models(name)


def _ask_warrant(
    signer: str | None, password_file: Path | None, *, emergency: bool
) -> "Warrant | None":
    """Who signs, with the password that is asked for; none without --as."""
    from segpipe.registry.mlflow_model.approved import Warrant
    from segpipe.tools.reviewing.password import ask_password

    if signer is None:
        if emergency:
            raise DataError(
                "--emergency: expected who signs it, found nobody; say --as"
            )
        return None
    password = ask_password(signer, password_file, option="--password-file")
    return Warrant(signer, password, emergency)


def next_steps(model: str, version: "Version") -> list[str]:
    """What was registered, where, and what to do with it."""
    from segpipe.registry.store import SEGMENTER, shown_uri
    from segpipe.registry.versions import CHAMPION, find_alias

    champion = find_alias(version.name, CHAMPION, HERE)
    judged = (
        f"segpipe compare {model} models:/{version.name}@champion"
        if champion and champion.version != version.version
        else "segpipe results, and the report that it names"
    )
    uri = f"models:/{version.name}/{version.version}"
    number, digest = version.version, version.tags.get(SEGMENTER, "unknown")
    return [
        f"{uri} is the segmenter {digest[:12]} of {model}, in {shown_uri(HERE)}",
        f"judge it: {judged}",
        f'use it: segpipe promote {number} --name {version.name} --why "the reason"',
    ]


def _tell_champion(version: "Version") -> None:
    from segpipe.registry.store import SEGMENTER

    log.info(
        "%s: version %s, the segmenter %s, is the champion; segpipe segment "
        "models:/%s@champion uses it, segpipe rollback goes back",
        version.name,
        version.version,
        version.tags.get(SEGMENTER, "unknown")[:12],
        version.name,
    )
