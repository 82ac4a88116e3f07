"""The commands on the people who may log in and sign."""

from pathlib import Path
from typing import Annotated

import typer

from segpipe.cli.options import OnceEach, PasswordFile
from segpipe.cli.project import HERE

Key = Annotated[str, typer.Argument(help="Name of the key: letters, digits, _ . -")]
By = Annotated[
    str | None, typer.Option(help="The admin who signs; none for the first person.")
]

app = typer.Typer(
    cls=OnceEach, no_args_is_help=True, help="The people who may log in and sign."
)


@app.command()
def add(
    name: Key,
    printed_name: Annotated[str, typer.Option(help="The name for people.")],
    role: Annotated[
        list[str],
        typer.Option(help="reader, adjudicator, lead or admin; may be repeated."),
    ],
    known_as: Annotated[
        list[str] | None,
        typer.Option(help="Another name: account, e-mail in git; may be repeated."),
    ] = None,
    by: By = None,
    password_file: Annotated[
        Path | None,
        typer.Option(help="File that holds the person's password; else it is asked."),
    ] = None,
    by_password_file: Annotated[
        Path | None,
        typer.Option(help="File that holds the admin's password; else it is asked."),
    ] = None,
) -> None:
    """Make a person's key and login; the password is asked for twice.

    Example: segpipe review users add ann --printed-name "Dr Ann Smith" --role admin
    """
    from segpipe.approval.chain.signing import check_name, check_roles
    from segpipe.approval.protocol import reviews_root
    from segpipe.review.accounts.database import address_of, open_database
    from segpipe.review.accounts.users import Newcomer, add_user
    from segpipe.tools.reviewing.password import ask_new_password, ask_password

    check_name(name)
    roles = check_roles(role)
    database = open_database(address_of(HERE))
    secret = ask_new_password(name, password_file, option="--password-file")
    admin = None
    if by is not None:
        option = "--by-password-file"
        admin = (by, ask_password(by, by_password_file, option=option))
    newcomer = Newcomer(name, printed_name, roles, tuple(known_as or ()))
    record = add_user(database, newcomer, secret, reviews_root(HERE.root), by=admin)
    typer.echo(
        f"record {record.number}: {name} may log in and sign as {', '.join(roles)}; "
        f"the key lies in .reviews/keys/{name}.json: keep a copy, it is no part of git"
    )


@app.command("list")
def list_users() -> None:
    """List everybody who has or had a key.

    Example: segpipe review users list
    """
    from segpipe.approval.protocol import reviews_root
    from segpipe.tools.reviewing.users import users as tool

    for row in tool(reviews_root(HERE.root)):
        typer.echo(row)


@app.command()
def password(
    name: Key,
    password_file: Annotated[
        Path | None,
        typer.Option(help="File that holds the old password; else it is asked."),
    ] = None,
    new_password_file: Annotated[
        Path | None,
        typer.Option(help="File that holds the new password; else it is asked."),
    ] = None,
) -> None:
    """Give key and login another password; sessions end, the key stays the same.

    On a machine that has the key and no login of the person, this makes the login.

    Example: segpipe review users password ann
    """
    from segpipe.approval.protocol import reviews_root
    from segpipe.review.accounts.database import address_of, open_database
    from segpipe.review.accounts.users import change_password
    from segpipe.tools.reviewing.password import ask_new_password, ask_password

    database = open_database(address_of(HERE))
    old = ask_password(name, password_file, option="--password-file")
    new = ask_new_password(name, new_password_file, option="--new-password-file")
    change_password(database, name, old, new, reviews_root(HERE.root))
    typer.echo(f"{name} logs in and signs with the new password")


@app.command()
def revoke(
    name: Key,
    reason: Annotated[str, typer.Option(help="Why.")],
    by: Annotated[str, typer.Option(help="The admin who signs.")],
    password_file: PasswordFile = None,
) -> None:
    """Revoke a key: it signs nothing more, and login and sessions end at once.

    What it signed stands.

    Example: segpipe review users revoke ann --by eve --reason "has left"
    """
    from segpipe.approval.protocol import reviews_root
    from segpipe.review.accounts.database import address_of, open_database
    from segpipe.review.accounts.users import revoke_user
    from segpipe.tools.reviewing.password import ask_password

    database = open_database(address_of(HERE))
    admin = (by, ask_password(by, password_file, option="--password-file"))
    record = revoke_user(database, name, reason, reviews_root(HERE.root), by=admin)
    typer.echo(f"record {record.number}: {name} logs in and signs nothing more")
