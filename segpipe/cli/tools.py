"""The commands that use trained segmenters and maintain the project."""

import os
from pathlib import Path
from typing import Annotated

import typer

from segpipe.cli.options import TOOLS, SpacingMm, importing, parse_numbers
from segpipe.cli.project import (
    HERE,
    read_compute,
    read_list,
    read_section,
    read_train_params,
)
from segpipe.project.errors import DataError
from segpipe.project.params import parse_section
from segpipe.registry.gate.comparison import Rule
from segpipe.segmenter.settings import SegmentSettings

Segmenter = Annotated[
    str, typer.Argument(help="Segmenter, folder of folds, or models:/NAME@ALIAS.")
]

RULE = Rule()
SETTINGS = SegmentSettings()

app = typer.Typer()


@app.command(rich_help_panel=TOOLS)
def segment(
    model: Segmenter,
    inputs: Annotated[
        list[Path], typer.Argument(help="Images and DICOM series, or their folders.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for the results.")],
    force: Annotated[
        bool, typer.Option("--force", help="Segment finished cases again.")
    ] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write a file for each structure.")
    ] = SETTINGS.probabilities,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="Write entropy and fold disagreement.")
    ] = SETTINGS.uncertainty,
    instances: Annotated[
        bool, typer.Option("--instances", help="Write numbered components, too.")
    ] = SETTINGS.instances,
    overlay: Annotated[
        bool, typer.Option(help="Draw the label map over the image.")
    ] = SETTINGS.overlay,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Average over mirrored images: slower.")
    ] = SETTINGS.mirror,
    overlap_fraction: Annotated[
        float, typer.Option(min=0, max=0.9, help="Overlap of neighbouring tiles.")
    ] = SETTINGS.overlap_fraction,
    memory_gb: Annotated[
        float, typer.Option(min=0, help="Budget of a forward pass: sets tile sizes.")
    ] = SETTINGS.memory_gb,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = SETTINGS.device,
    precision: Annotated[
        str, typer.Option(help="auto, fp32 or bf16.")
    ] = SETTINGS.precision,
    engine: Annotated[
        str, typer.Option(help="torch, openvino (quicker on CPUs) or auto.")
    ] = SETTINGS.engine,
    skip_empty: Annotated[
        str, typer.Option(help="auto: leave out what holds nothing; or never.")
    ] = SETTINGS.skip_empty,
    coarse: Annotated[
        str,
        typer.Option(help="auto: look where coarse networks say; or never."),
    ] = SETTINGS.coarse,
    threads: Annotated[
        int, typer.Option(min=0, help="CPU threads; 0: as many as there are cores.")
    ] = 0,
    spacing_mm: SpacingMm = None,
    resample_tilt: Annotated[
        bool, typer.Option("--resample-tilt", help="Straighten a tilted gantry.")
    ] = SETTINGS.resample_tilt,
) -> None:
    """Segment new images: label maps on their own grids, DICOM-SEG for DICOM.

    Finished cases are skipped. A case that fails does not stop the others.

    Example: segpipe segment artifacts/train/unet3d ~/new --output ~/masks
    """
    with importing():
        from segpipe.tools.segmenting.run import segment as tool

    spacing = parse_numbers("--spacing-mm", spacing_mm)
    if spacing is not None and len(spacing) != 2:
        raise DataError(f"--spacing-mm {spacing_mm}: expected COLUMNS,ROWS")
    values = {
        "probabilities": probabilities,
        "uncertainty": uncertainty,
        "instances": instances,
        "overlay": overlay,
        "mirror": mirror,
        "overlap_fraction": overlap_fraction,
        "memory_gb": memory_gb,
        "device": device,
        "precision": precision,
        "engine": engine,
        "skip_empty": skip_empty,
        "coarse": coarse,
        "threads": threads or len(os.sched_getaffinity(0)),
        "spacing_mm": spacing,
        "resample_tilt": resample_tilt,
    }
    settings = parse_section(SegmentSettings, values, where="options of segment")
    summary = tool(model, inputs, output, settings, force=force, paths=HERE)
    for row in summary.lines():
        typer.echo(row)
    if summary.failed:
        raise typer.Exit(1)


@app.command(rich_help_panel=TOOLS)
def compare(
    model: Annotated[str, typer.Argument(help="The candidate, of the list models.")],
    champion: Annotated[
        str, typer.Argument(help="models:/NAME@champion, or the folder of a version.")
    ],
    margin: Annotated[
        float, typer.Option(min=0, max=1, help="Accepted loss of mean Dice.")
    ] = RULE.margin,
    minimum_patients: Annotated[
        int, typer.Option(min=2, help="With fewer, nothing is decided.")
    ] = RULE.minimum_patients,
    structure_margin: Annotated[
        float, typer.Option(min=0, max=1, help="Accepted loss of one structure.")
    ] = RULE.structure_margin,
    new_failures: Annotated[
        int, typer.Option(min=0, help="Structures of cases that may newly fail.")
    ] = RULE.new_failures,
) -> None:
    """Judge a trained model against the champion on patients unknown to both.

    The exit status is 1 if the model is not accepted.

    Example: segpipe compare unet3d models:/liver@champion
    """
    from segpipe.registry.gate.compare import compare_with_champion as tool
    from segpipe.registry.mlflow_model.fetch import fetch
    from segpipe.segmenter.spec import SCHEME

    folder, name, sealed = Path(champion), champion, False
    if champion.startswith(SCHEME):
        registered = fetch(champion, HERE)
        folder, name = registered.folder, f"{registered.name}/{registered.version}"
        sealed = registered.sealed
    comparison = tool(
        model,
        folder,
        champion_name=name,
        sealed=sealed,
        rule=Rule(
            margin=margin,
            minimum_patients=minimum_patients,
            structure_margin=structure_margin,
            new_failures=new_failures,
        ),
        compute=read_compute(),
        paths=HERE,
    )
    for row in comparison.lines():
        typer.echo(row)
    if not comparison.accepted:
        raise typer.Exit(1)


@app.command(rich_help_panel=TOOLS)
def ceiling() -> None:
    """Show the figures of a network without any error on the test cases.

    The references themselves are resampled, separated, cut into tiles, post-processed
    and compared; it needs the stages up to plan, and no training.
    """
    from segpipe.stages.evaluate import EvaluateParams
    from segpipe.stages.weigh import WeighParams
    from segpipe.tools.ceiling import ceiling as tool

    for found in tool(
        {name: read_train_params(name) for name in read_list("models", str)},
        folds=read_list("folds", int),
        weigh=read_section("weigh", WeighParams),
        evaluate=read_section("evaluate", EvaluateParams),
        paths=HERE,
    ):
        for row in found.lines():
            typer.echo(row)


@app.command(rich_help_panel=TOOLS)
def lineage(
    file: Annotated[Path, typer.Argument(help="A mask that segment wrote.")],
) -> None:
    """Print what a mask was made from: inputs, segmenter, run, commit, data.

    Example: segpipe lineage ~/masks/case_01.nii.gz
    """
    from segpipe.tools.lineage import lineage as tool

    for row in tool(file, HERE):
        typer.echo(row)


@app.command(rich_help_panel=TOOLS)
def preset(
    name: Annotated[
        str, typer.Argument(help="Name of a preset; a wrong name lists all.")
    ],
    force: Annotated[
        bool, typer.Option(help="Overwrite edits of params.yaml.")
    ] = False,
) -> None:
    """Write the params.yaml of a preset.

    Example: segpipe preset hippocampus
    """
    from segpipe.project.origin.study import shipped
    from segpipe.tools.preset import write_preset

    for row in write_preset(
        name, params=HERE.params, presets=shipped("presets"), force=force
    ):
        typer.echo(row)


@app.command(rich_help_panel=TOOLS)
def export(
    model: Segmenter,
    output: Annotated[Path, typer.Argument(help="A new folder for the networks.")],
) -> None:
    """Write a segmenter as ONNX, with a script that runs it without torch.

    Example: segpipe export artifacts/train/unet3d/0/segmenter unet3d-onnx
    """
    from segpipe.tools.exporting.export import export as tool

    typer.echo(tool(model, output, HERE))


@app.command(rich_help_panel=TOOLS)
def device() -> None:
    """Print on which device and in which precision this machine trains."""
    typer.echo(read_compute())


@app.command(rich_help_panel=TOOLS)
def record() -> None:
    """Create or complete the MLflow runs of the trainings in artifacts/."""
    with importing():
        from segpipe.registry.record import record as tool

    for row in tool(HERE):
        typer.echo(row)


@app.command(rich_help_panel=TOOLS)
def results() -> None:
    """Show the figures of all models, and where to look next."""
    with importing():
        from segpipe.tools.results import results as tool

    for row in tool(HERE):
        typer.echo(row)


@app.command(rich_help_panel=TOOLS)
def prune(
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete the listed items.")
    ] = False,
    days: Annotated[float, typer.Option(help="Keep what is younger.")] = 7.0,
) -> None:
    """List caches, checkpoints and runs that nothing needs, or delete them.

    Example: segpipe prune --delete
    """
    from segpipe.tools.prune import find_prunable
    from segpipe.tools.prune import prune as tool

    items = find_prunable(HERE, days=days)
    for item in items:
        typer.echo(item)
    if delete:
        tool(HERE, items)
    typer.echo(
        f"{len(items)} {'deleted' if delete else 'found; --delete deletes them'}"
    )
