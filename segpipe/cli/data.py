"""The commands that produce data: phantom, import and densify."""

from pathlib import Path
from typing import Annotated

import typer

from segpipe.cli.options import TOOLS, SpacingMm, parse_numbers
from segpipe.cli.project import HERE, read_compute, read_section, read_train_params

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
    data: Annotated[Path, typer.Argument(help="Where to write, usually data.")],
    images: Annotated[
        str | None, typer.Option(help="Folder of the images in the source.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Folder of the label maps in the source.")
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
        list[str] | None, typer.Option(help="NAME=VALUE; once per structure.")
    ] = None,
    ignore: Annotated[
        int | None, typer.Option(help="Value of voxels without annotation.")
    ] = None,
    instances: Annotated[
        bool, typer.Option("--instances", help="The labels are instance ids.")
    ] = False,
    spacing_mm: SpacingMm = None,
    grey: Annotated[
        bool, typer.Option("--grey", help="Three equal colours become one channel.")
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

    Example: segpipe import ~/study data --images images --labels labels
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
    typer.echo(import_dataset(source, data, options))


@app.command(rich_help_panel=TOOLS)
def densify(
    output: Annotated[Path, typer.Argument(help="A new folder for the label maps.")],
    model: Annotated[str, typer.Option(help="A section of train in params.yaml.")],
) -> None:
    """Label all voxels of the volumes in data/ from a few annotated slices.

    The label maps in data/ have the value `ignore` where nobody annotated.

    Example: segpipe densify dense --model unet3d
    """
    from segpipe.stages import plan, preprocess, verify, weigh
    from segpipe.stages.predict import PredictParams
    from segpipe.tools.densify import DensifyParams
    from segpipe.tools.densify import densify as tool

    params = DensifyParams(
        verify=read_section("verify", verify.VerifyParams),
        plan=read_section("plan", plan.PlanParams),
        preprocess=read_section("preprocess", preprocess.PreprocessParams),
        weigh=read_section("weigh", weigh.WeighParams),
        train=read_train_params(model),
        predict=read_section("predict", PredictParams),
    )
    typer.echo(tool(params, output, model=model, compute=read_compute(), paths=HERE))
