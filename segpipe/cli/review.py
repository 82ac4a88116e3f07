"""The commands of the review: people, their work, and the server."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from segpipe.cli.options import REGISTRY, OnceEach
from segpipe.cli.project import HERE
from segpipe.project.errors import DataError

app = typer.Typer()
review = typer.Typer(
    cls=OnceEach, no_args_is_help=True, help="Let people judge a version, blinded."
)
accounts = typer.Typer(
    cls=OnceEach, no_args_is_help=True, help="The people who may log in to the review."
)
review.add_typer(accounts, name="accounts")
app.add_typer(review, name="review", rich_help_panel=REGISTRY)

Who = Annotated[str, typer.Argument(help="Name to log in with, as `jane.doe`.")]


@review.command()
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8010,
    certificate: Annotated[
        Path | None, typer.Option(help="Certificate for TLS without a proxy.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="The certificate's key.")] = None,
) -> None:
    """Serve the review to browsers on this machine until Ctrl+C.

    Example: segpipe review serve
    """
    from segpipe.review.accounts.database import address_of, open_database
    from segpipe.review.server.app import build_app, serve

    if (certificate is None) != (key is None):
        raise DataError("--certificate and --key: expected both or none, found one")
    database = open_database(address_of(HERE))
    scheme = "http" if certificate is None else "https"
    typer.echo(f"review: {scheme}://127.0.0.1:{port}, until Ctrl+C")
    server = build_app(database, HERE.root / ".reviews", port=port)
    serve(server, port=port, certificate=certificate, key=key)


@review.command()
def assign(
    folder: Annotated[Path, typer.Argument(help="Dossier, such as .reviews/liver-3.")],
    name: Who,
    adjudicate: Annotated[
        bool, typer.Option(help="As the adjudicator, not as a reader.")
    ] = False,
) -> None:
    """Give a person all cases of a dossier to read.

    Example: segpipe review assign .reviews/liver-3 jane.doe
    """
    from segpipe.review.accounts.assignments import assign
    from segpipe.review.accounts.database import address_of, open_database
    from segpipe.review.accounts.users import find_user
    from segpipe.review.shelf import open_volume

    volume = open_volume(folder)
    database = open_database(address_of(HERE))
    user = find_user(database, name)
    role, purpose = ("adjudicator", "adjudicate") if adjudicate else ("reader", "read")
    if role not in user.roles:
        raise DataError(f"{name}: expected the role {role}, found {user.roles}")
    new = assign(
        database, user, dossier=volume.digest, items=[*volume.items], purpose=purpose
    )
    typer.echo(f"{name}: {new} new of {len(volume.items)} cases")


@accounts.command("list")
def list_all() -> None:
    """List the people who may log in.

    Example: segpipe review accounts list
    """
    from segpipe.review.accounts.database import address_of, open_database
    from segpipe.review.accounts.users import list_users

    for user in list_users(open_database(address_of(HERE))):
        closed = ", closed" if user.disabled else ""
        typer.echo(f"{user.name}: {user.printed_name}, {', '.join(user.roles)}{closed}")


@accounts.command()
def add(
    name: Who,
    printed_name: Annotated[str, typer.Option(help="As it stands in records.")],
    role: Annotated[
        list[str], typer.Option(help="reader, adjudicator, lead or admin.")
    ],
) -> None:
    """Add a person; the password is asked for, or read from standard input.

    Example: segpipe review accounts add jane --printed-name "Jane Doe" --role reader
    """
    from segpipe.review.accounts.database import address_of, open_database
    from segpipe.review.accounts.users import add_user

    database = open_database(address_of(HERE))
    password = _ask()
    add_user(database, name, printed_name=printed_name, roles=role, password=password)
    typer.echo(f"{name} may log in")


@accounts.command()
def password(name: Who) -> None:
    """Give a person another password, and end the person's sessions.

    Example: segpipe review accounts password jane.doe
    """
    from segpipe.review.accounts.database import address_of, open_database
    from segpipe.review.accounts.users import find_user, set_password

    database = open_database(address_of(HERE))
    find_user(database, name)
    set_password(database, name, _ask())
    typer.echo(f"{name} has another password")


@accounts.command()
def close(name: Who) -> None:
    """Close an account and end its sessions; what the person said stays.

    Example: segpipe review accounts close jane.doe
    """
    from segpipe.review.accounts.database import address_of, open_database
    from segpipe.review.accounts.users import disable_user

    disable_user(open_database(address_of(HERE)), name)
    typer.echo(f"{name} may no longer log in")


def _ask() -> str:
    """A new password, never from the command line, which other users can list."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")
