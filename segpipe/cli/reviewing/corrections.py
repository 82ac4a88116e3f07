"""The commands on masks that readers corrected."""

from pathlib import Path
from typing import Annotated

import typer

from segpipe.cli.options import As, OnceEach, PasswordFile
from segpipe.cli.project import HERE

app = typer.Typer(
    cls=OnceEach, no_args_is_help=True, help="Masks that readers corrected."
)


@app.command("list")
def list_corrections() -> None:
    """List the signed corrections, and which of them data/ has.

    Example: segpipe review corrections list
    """
    from segpipe.review.corrections.apply import describe_filed

    for line in describe_filed(HERE) or ["no corrections yet"]:
        typer.echo(line)


@app.command()
def apply(
    number: Annotated[list[int], typer.Argument(min=1, help="Numbers of records.")],
) -> None:
    """Accept corrections: put their masks into data/, as new references or labels.

    Example: segpipe review corrections apply 12 13
    """
    from segpipe.review.corrections.apply import apply as tool

    for line in tool(number, HERE):
        typer.echo(line)
    typer.echo(
        "now `dvc add data` and `dvc repro`, which evaluates all models again; commit "
        "data.dvc, dvc.lock and reviews/"
    )


@app.command()
def deliver(
    output: Annotated[Path, typer.Argument(help="Label map that segment wrote.")],
    mask: Annotated[
        Path, typer.Argument(help="What it was corrected to: NIfTI, NRRD, DICOM-SEG.")
    ],
    image: Annotated[
        list[Path], typer.Option(help="The image; once for each channel, in order.")
    ],
    patient: Annotated[str, typer.Option(help="The patient, as data/ names patients.")],
    inbox: Annotated[Path, typer.Option(help="Inbox of the flow retrain.")],
    signer: As,
    comment: Annotated[str, typer.Option(help="What was wrong.")] = "",
    password_file: PasswordFile = None,
) -> None:
    """Sign a corrected segmentation and put it into the inbox of the next training.

    A patient of the test set is refused. The password is asked for.

    Example: segpipe review corrections deliver out/p7.nii.gz p7-mine.nii.gz
    --image p7.nii.gz --patient p7 --inbox ~/deliveries --as ann
    """
    from segpipe.review.corrections.deliver import Finding
    from segpipe.review.corrections.deliver import deliver as tool
    from segpipe.tools.reviewing.password import ask_password

    password = ask_password(signer, password_file, option="--password-file")
    found = Finding(output, mask, tuple(image), patient, comment)
    record, folder = tool(found, inbox, signer, password, HERE)
    typer.echo(
        f"record {record.number}: {record.printed_name} signed; {folder} waits for the "
        "flow retrain, or for `segpipe import --add`"
    )
