"""The commands on reviews: build, serve, decide, show and verify them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from segpipe.cli.options import REGISTRY, As, OnceEach, PasswordFile
from segpipe.cli.project import HERE, read_compute
from segpipe.cli.reviewing import corrections, users
from segpipe.project.errors import DataError

Verdict = Literal["approve", "reject", "withdraw"]

app = typer.Typer()
review = typer.Typer(
    cls=OnceEach, no_args_is_help=True, help="Reviews: people, decisions, records."
)
review.add_typer(users.app, name="users")
review.add_typer(corrections.app, name="corrections")
app.add_typer(review, name="review", rich_help_panel=REGISTRY)


@review.command()
def init() -> None:
    """Write review.yaml, which explains every value and asks for nothing yet.

    Example: segpipe review init
    """
    from segpipe.approval.protocol import write_protocol

    path = write_protocol(HERE.root)
    typer.echo(f"wrote {path}: read it, set policy.require, commit it")


@review.command()
def build(
    version: Annotated[
        str, typer.Argument(help="Number of the version, or models:/NAME@ALIAS.")
    ],
    name: Annotated[
        str | None,
        typer.Option(help="Registered model; by default the data set's name."),
    ] = None,
) -> None:
    """Draw the cases of a version for readers and blind them, in .reviews/.

    Masks that predict or compare made already are taken; the rest is segmented now.

    Example: segpipe review build 3

    Example: segpipe review build models:/liver@candidate
    """
    from segpipe.registry.register import default_name
    from segpipe.review.build import build as tool
    from segpipe.segmenter.spec import SCHEME

    uri = version
    if not version.startswith(SCHEME):
        uri = f"{SCHEME}{name or default_name(HERE)}/{version}"
    typer.echo(str(tool(uri, compute=read_compute(), paths=HERE)))


@review.command()
def bundle(
    dossier: Annotated[Path, typer.Argument(help="Such as .reviews/liver-3.")],
    folder: Annotated[Path, typer.Argument(help="The folder to write.")],
) -> None:
    """Write the pages of a dossier to look at without a server, read only.

    Example: segpipe review bundle .reviews/liver-3 liver-3-pages
    """
    from segpipe.review.server.pages import write_bundle
    from segpipe.review.shelf import open_volume

    typer.echo(f"open {write_bundle(open_volume(dossier), folder)} in a browser")


@review.command()
def verify(
    head: Annotated[
        list[str] | None,
        typer.Option(help="NUMBER:DIGEST as it stands elsewhere; may be repeated."),
    ] = None,
) -> None:
    """Prove signatures, chain and anchors; name the first broken link.

    The status is 1 if anything is wrong.

    Example: segpipe review verify
    """
    from segpipe.tools.reviewing.verify import verify as tool

    proof = tool(head or [], HERE)
    for row in proof.lines:
        typer.echo(row)
    if not proof.whole:
        raise typer.Exit(1)


@review.command()
def show(
    number: Annotated[int, typer.Argument(min=1, help="Number of the record.")],
) -> None:
    """Show a record: who signed what, when, in which role, and what it means.

    Example: segpipe review show 12
    """
    from segpipe.approval.protocol import reviews_root
    from segpipe.tools.reviewing.show import show as tool

    for row in tool(number, reviews_root(HERE.root)):
        typer.echo(row)


@review.command()
def decide(
    version: Annotated[int, typer.Argument(help="Number, as `segpipe models` shows.")],
    meaning: Annotated[str, typer.Option(help="What the signature means.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    signer: As,
    approve: Annotated[bool, typer.Option("--approve", help="It may be used.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="It may not.")] = False,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="An approval of before ends now.")
    ] = False,
    promote: Annotated[
        bool, typer.Option("--promote", help="Approved, it is to be the champion.")
    ] = False,
    name: Annotated[
        str | None,
        typer.Option(help="Registered model; by default the data set's name."),
    ] = None,
    password_file: PasswordFile = None,
) -> None:
    """Sign a decision on a version; the password is asked for.

    Example: segpipe review decide 3 --approve --as ann --meaning "fit for use"
    --reason "30 of 30 cases are acceptable"
    """
    from segpipe.registry.register import default_name
    from segpipe.tools.reviewing.decide import Verdict as Words
    from segpipe.tools.reviewing.decide import decide as tool
    from segpipe.tools.reviewing.password import ask_password

    chosen: dict[Verdict, bool] = {
        "approve": approve,
        "reject": reject,
        "withdraw": withdraw,
    }
    said = [word for word, given in chosen.items() if given]
    if len(said) != 1:
        raise DataError(
            "--approve, --reject or --withdraw: expected one of them, found "
            f"{' and '.join(said) or 'none'}"
        )
    password = ask_password(signer, password_file, option="--password-file")
    words = Words(said[0], meaning, reason, promote)
    name = name or default_name(HERE)
    next_step: list[str] = []
    record = tool(
        name, str(version), words, signer, password, HERE, tell=next_step.append
    )
    typer.echo(
        f"record {record.number}: {record.printed_name} as {record.role} signed "
        f"{said[0]} of {name} {version}; commit reviews/ and push it"
    )
    for row in next_step:
        typer.echo(row)


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
    from segpipe.approval.chain.verification import verify
    from segpipe.approval.protocol import reviews_root
    from segpipe.review.accounts.database import address_of, open_database
    from segpipe.review.accounts.users import describe_lack, without_login
    from segpipe.review.server.app import build_app, serve

    if (certificate is None) != (key is None):
        raise DataError("--certificate and --key: expected both or none, found one")
    database = open_database(address_of(HERE))
    root = reviews_root(HERE.root)
    lacking = without_login(database, verify(root).require_whole().roster)
    if lacking:
        typer.echo(describe_lack(lacking))
    scheme = "http" if certificate is None else "https"
    typer.echo(f"review: {scheme}://127.0.0.1:{port}, until Ctrl+C")
    server = build_app(database, HERE.root / ".reviews", records=root, port=port)
    serve(server, port=port, certificate=certificate, key=key)


@review.command()
def assign(
    folder: Annotated[Path, typer.Argument(help="Dossier, such as .reviews/liver-3.")],
    name: Annotated[
        list[str] | None,
        typer.Argument(help="Who reads; none: all with the role reader."),
    ] = None,
) -> None:
    """Give the cases of a dossier to readers, by review.yaml; again: what is missing.

    Example: segpipe review assign .reviews/liver-3
    """
    from segpipe.approval.use import open_court
    from segpipe.review.accounts.database import address_of, open_database
    from segpipe.review.shelf import open_volume
    from segpipe.review.work.assignment import assign_readers

    database = open_database(address_of(HERE))
    volume, court = open_volume(folder), open_court(HERE.root)
    for row in assign_readers(volume, name or [], court, database):
        typer.echo(row)


@review.command()
def status(
    version: Annotated[
        list[str] | None,
        typer.Argument(help="Name and number, or the dossier; none: all dossiers."),
    ] = None,
) -> None:
    """Say what is left of a review and who has it; once all is signed, what it says.

    Example: segpipe review status liver 3
    """
    from segpipe.review.work.status import status as tool

    for row in tool(version or [], HERE):
        typer.echo(row)


@app.command(rich_help_panel=REGISTRY)
def history(
    name: Annotated[str, typer.Argument(help="Name of the registered model.")],
    at: Annotated[
        str | None, typer.Option(help="Day or time in UTC, such as 2026-11-26T14:30.")
    ] = None,
) -> None:
    """Say who was the champion when, by whom and why.

    Example: segpipe history liver --at 2026-05-01
    """
    from segpipe.tools.history import history as tool

    for row in tool(name, HERE, at=at):
        typer.echo(row)
