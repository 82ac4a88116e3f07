"""The commands that produce data: phantom, import and densify."""

import sys
from dataclasses import replace as replace_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segpipe.cli.options import TOOLS, SpacingMm, parse_numbers
from segpipe.cli.project import HERE, read_compute, read_section, read_train_params
from segpipe.project.progress import waiting

if TYPE_CHECKING:
    from segpipe.tools.importing.conversion import ImportOptions

NOTHING_IMPORTED = 3  # status of a proposal that nobody took

app = typer.Typer()


@app.command(rich_help_panel=TOOLS)
def phantom(
    folder: Annotated[Path, typer.Argument(help="Where to write, usually data.")],
) -> None:
    """Write the synthetic data set; never over other data.

    Example: segpipe phantom data
    """
    from segpipe.tools.importing.phantom import write_phantom

    write_phantom(folder)


@app.command("import", rich_help_panel=TOOLS)
def import_(
    source: Annotated[Path, typer.Argument(help="Folder, or an HDF5 file.")],
    data: Annotated[Path, typer.Argument(help="Where to write.")] = Path("data"),
    yes: Annotated[
        bool, typer.Option("--yes", help="Take the proposal without asking.")
    ] = False,
    images: Annotated[
        str | None, typer.Option(help="Folder of images, or {case}/{channel}.nii.gz.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Folder of labels, or {case}_{structure}.png.")
    ] = None,
    channel_suffix: Annotated[
        list[str] | None,
        typer.Option(help="Name ending of the files of a channel; once per channel."),
    ] = None,
    label_suffix: Annotated[
        str, typer.Option(help="Name ending of the label maps.")
    ] = "",
    channel: Annotated[
        list[str] | None, typer.Option(help="Name of a channel; once per channel.")
    ] = None,
    structure: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE[,VALUE] or NAME=SOURCE[,SOURCE]; repeat it."),
    ] = None,
    ignore: Annotated[
        int | None, typer.Option(help="Value of voxels without annotation.")
    ] = None,
    binarize: Annotated[
        float | None, typer.Option(help="Grey value from which a label is inside.")
    ] = None,
    overlap: Annotated[
        str | None, typer.Option(help="Who has a voxel of two masks: first or last.")
    ] = None,
    labelled_only: Annotated[
        bool, typer.Option("--labelled-only", help="Leave out images without a label.")
    ] = False,
    reference: Annotated[
        str | None, typer.Option(help="The {observer} whose labels are the reference.")
    ] = None,
    instances: Annotated[
        bool, typer.Option("--instances", help="The labels are instance ids.")
    ] = False,
    spacing_mm: SpacingMm = None,
    grey: Annotated[
        bool,
        typer.Option("--grey", help="Colours become one channel, by luma if unequal."),
    ] = False,
    image_key: Annotated[str, typer.Option(help="HDF5 data set of the image.")] = "raw",
    label_key: Annotated[
        str, typer.Option(help="HDF5 data set of the label map.")
    ] = "label",
    patients: Annotated[
        Path | None, typer.Option(help="CSV with columns case, patient and others.")
    ] = None,
    patient_pattern: Annotated[
        str | None,
        typer.Option(help="Regular expression of a case's name; group 1: the patient."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the data that are there.")
    ] = False,
    add: Annotated[
        bool, typer.Option("--add", help="Add to the data that are there.")
    ] = False,
) -> None:
    """Import images and label maps into data/, either all or none.

    Without options that describe the source it is looked at, and the command in full is
    proposed. Status 3 says that nobody took the proposal and nothing was imported.

    Example: segpipe import ~/study
    """
    from segpipe.tools.importing.conversion import ImportOptions
    from segpipe.tools.importing.reading.vocabulary import parse_structures
    from segpipe.tools.importing.run import import_dataset

    options = ImportOptions(
        images=images,
        labels=labels,
        channel_suffixes=tuple(channel_suffix or ()),
        label_suffix=label_suffix,
        channels=tuple(channel or ()),
        structures=parse_structures(structure or []),
        ignore=ignore,
        binarize=binarize,
        overlap=overlap,
        labelled_only=labelled_only,
        reference=reference,
        instances=instances,
        spacing_mm=parse_numbers("--spacing-mm", spacing_mm),
        grey=grey,
        image_key=image_key,
        label_key=label_key,
        patients=patients,
        patient_pattern=patient_pattern,
        replace=replace,
        add=add,
    )
    if replace_(options, add=False, replace=False) == ImportOptions():
        options = _look_and_ask(source, data, options, yes=yes)
    typer.echo(import_dataset(source, data, options))


def _look_and_ask(
    source: Path, data: Path, options: "ImportOptions", *, yes: bool
) -> "ImportOptions":
    """Look at the source and propose its options; ends here if nobody takes them."""
    from segpipe.tools.importing.proposal.command import format_command
    from segpipe.tools.importing.proposal.look import look
    from segpipe.tools.importing.run import refuse_loss
    from segpipe.tools.importing.writing.replacing import read_existing

    refuse_loss(data, options)
    typer.echo(f"looking at {source}", err=True)
    found = look(source)
    if found.certain:
        return options
    typer.echo("\n".join(found.lines))
    if found.doubt:
        typer.echo(f"\nundecided: {found.doubt}")
    existing = read_existing(data, options)
    labels = existing.labels if existing else None
    proposals = [one.joined(options, labels) for one in found.proposals]
    typer.echo("\nproposed:" if proposals else "\nnothing to propose")
    for number, one in enumerate(proposals, start=1):
        choice = f"{number}. " if len(proposals) > 1 else ""
        typer.echo(f"  {choice}{format_command(source, data, one)}")
    place = 1 if yes and len(proposals) == 1 else 0 if yes else _ask(len(proposals))
    if place:
        return proposals[place - 1]
    typer.echo("nothing was imported: paste a command, with other names if need be")
    raise typer.Exit(NOTHING_IMPORTED)


def _ask(number: int) -> int:
    """Ask on a terminal which proposal to take; 0 for none of them."""
    if not number or not sys.stdin.isatty():
        return 0
    with waiting():
        if number == 1:
            return int(typer.confirm("\nimport so?"))
        answer = typer.prompt(f"\nwhich one? 1 to {number}, or none", default="none")
    return int(answer) if answer in map(str, range(1, number + 1)) else 0


@app.command(rich_help_panel=TOOLS)
def densify(
    output: Annotated[Path, typer.Argument(help="A new folder for the label maps.")],
    model: Annotated[str, typer.Option(help="A section of train in params.yaml.")],
) -> None:
    """Label all voxels of the volumes in data/ from a few annotated slices.

    The label maps in data/ have the value `ignore` where nobody annotated.

    Example: segpipe densify dense --model unet3d
    """
    from segpipe.planning.params import PlanParams
    from segpipe.stages import preprocess, verify, weigh
    from segpipe.stages.predict import PredictParams
    from segpipe.tools.densify import DensifyParams
    from segpipe.tools.densify import densify as tool

    params = DensifyParams(
        verify=read_section("verify", verify.VerifyParams),
        plan=read_section("plan", PlanParams),
        preprocess=read_section("preprocess", preprocess.PreprocessParams),
        weigh=read_section("weigh", weigh.WeighParams),
        train=read_train_params(model),
        predict=read_section("predict", PredictParams),
    )
    typer.echo(tool(params, output, model=model, compute=read_compute(), paths=HERE))
