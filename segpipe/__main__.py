"""The command line: one sub-command a stage and a tool."""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segpipe.errors import DataError
from segpipe.paths import Paths

if TYPE_CHECKING:
    from segpipe.compute import Compute
    from segpipe.stages.train import TrainParams

HERE = Paths(Path())
STAGES = "Stages, as dvc repro runs them"
TOOLS = "Tools"
REGISTRY = "Registry"
Model = Annotated[str, typer.Option(help="A name of the list models in params.yaml.")]
Fold = Annotated[int, typer.Option(help="A number of the list folds in params.yaml.")]
Name = Annotated[
    str | None, typer.Option(help="Registered model; unless told, the data set's name.")
]
Why = Annotated[str, typer.Option(help="The reason; it stays with the version.")]

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


@app.callback()
def describe() -> None:
    """From a lab's own annotated images to segmentation networks it can trust.

    Run from a project's root. `dvc repro` runs the stages in their order.
    """


def main() -> None:
    """Run the command line; wrong data end in one message, not in a traceback."""
    logging.basicConfig(
        format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr
    )
    logging.getLogger("segpipe").setLevel(os.environ.get("SEGPIPE_LOG", "INFO"))
    try:
        app()
    except DataError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(1)


def _section(name: str, model: Any) -> Any:
    from segpipe.params import read_section

    return read_section(HERE.params, name, model)


def _list(name: str, kind: type) -> list[Any]:
    """The list models or folds."""
    from segpipe.params import read_params

    values = read_params(HERE.params).get(name)
    right = isinstance(values, list) and all(type(value) is kind for value in values)
    if not right or not values or len(set(values)) < len(values):
        raise DataError(
            f"{HERE.params}, {name}: expected a list of different {kind.__name__}s, "
            f"found {values}; write for example {name}: "
            f"{'[0, 1]' if kind is int else '[unet2d, vnet]'}"
        )
    return list(values)


def _train_params(model: str) -> "TrainParams":
    from segpipe.params import parse_section, read_params
    from segpipe.stages.train import TrainParams

    sections = read_params(HERE.params).get("train") or {}
    if model not in sections:
        raise DataError(
            f"{HERE.params}, train: expected a section {model}, found "
            f"{', '.join(sections) or 'none'}; copy one and choose its network"
        )
    where = f"{HERE.params}, section train.{model}"
    return parse_section(TrainParams, sections[model], where=where)


def _compute() -> "Compute":
    from segpipe.compute import ComputeParams, build_compute

    return build_compute(_section("compute", ComputeParams))


@app.command(rich_help_panel=STAGES)
def verify() -> None:
    """Refuse what cannot be trained on: all faults of all cases at once."""
    from segpipe.stages import verify as stage

    models = {name: _train_params(name) for name in _list("models", str)}
    stage.run(
        _section("verify", stage.VerifyParams),
        networks={name: params.dimensions for name, params in models.items()},
        paths=HERE,
    )


@app.command(rich_help_panel=STAGES)
def split() -> None:
    """Choose test set and folds by patient."""
    from segpipe.stages import split as stage

    stage.run(_section("split", stage.SplitParams), paths=HERE)


@app.command(rich_help_panel=STAGES)
def plan() -> None:
    """Take the fingerprint; choose spacing, normalization, patch and batch size."""
    from segpipe.stages import plan as stage

    models = {name: _train_params(name) for name in _list("models", str)}
    stage.run(_section("plan", stage.PlanParams), models=models, paths=HERE)


@app.command(rich_help_panel=STAGES)
def preprocess() -> None:
    """Reorient, resample and normalize every case."""
    from segpipe.stages import preprocess as stage

    stage.run(_section("preprocess", stage.PreprocessParams), paths=HERE)


@app.command(rich_help_panel=STAGES)
def weigh() -> None:
    """Compute the border-weight map and the class counts of every case."""
    from segpipe.stages import weigh as stage

    stage.run(_section("weigh", stage.WeighParams), paths=HERE)


@app.command(rich_help_panel=STAGES)
def annotate() -> None:
    """Choose which voxels count as labelled: all, or a few slices."""
    from segpipe.stages import annotate as stage

    stage.run(_section("annotate", stage.AnnotateParams), paths=HERE)


@app.command(rich_help_panel=STAGES)
def train(model: Model, fold: Fold) -> None:
    """Train one network of one fold; goes on where it was interrupted.

    Example: segpipe train --model unet3d --fold 0
    """
    from segpipe.stages import train as stage

    params = _train_params(model)
    stage.run(params, model=model, fold=fold, compute=_compute(), paths=HERE)


@app.command(rich_help_panel=STAGES)
def predict(model: Model) -> None:
    """Segment the test cases with the mean of a model's folds."""
    from segpipe.stages import predict as stage

    stage.run(
        _section("predict", stage.PredictParams),
        model=model,
        folds=_list("folds", int),
        compute=_compute(),
        paths=HERE,
    )


@app.command(rich_help_panel=STAGES)
def evaluate(model: Model) -> None:
    """Compare predictions with references, by case and structure."""
    from segpipe.stages import evaluate as stage

    stage.run(_section("evaluate", stage.EvaluateParams), model=model, paths=HERE)


@app.command(rich_help_panel=STAGES)
def report() -> None:
    """Write one page with all models side by side."""
    from segpipe.stages import report as stage

    stage.run(
        _section("report", stage.ReportParams),
        models=_list("models", str),
        folds=_list("folds", int),
        paths=HERE,
    )


@app.command(rich_help_panel=TOOLS)
def phantom(
    folder: Annotated[Path, typer.Argument(help="Where to write, usually data.")],
) -> None:
    """Write the embedded data set; never over other data.

    Example: segpipe phantom data
    """
    from segpipe.phantom import write_phantom

    write_phantom(folder)


@app.command("import", rich_help_panel=TOOLS)
def import_(
    source: Annotated[Path, typer.Argument(help="Folder, or an HDF5 file.")],
    data: Annotated[Path, typer.Argument(help="Where to write, usually data.")],
    images: Annotated[str | None, typer.Option(help="Folder of images in it.")] = None,
    labels: Annotated[str | None, typer.Option(help="Folder of label maps.")] = None,
    channel_suffix: Annotated[
        list[str] | None,
        typer.Option(help="Ending of a name that says the channel; once a channel."),
    ] = None,
    label_suffix: Annotated[
        str, typer.Option(help="Ending of the label maps' names.")
    ] = "",
    channel: Annotated[
        list[str] | None, typer.Option(help="Name of a channel; once a channel.")
    ] = None,
    structure: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE; once a structure.")
    ] = None,
    ignore: Annotated[
        int | None, typer.Option(help="The value that means: not annotated.")
    ] = None,
    instances: Annotated[
        bool, typer.Option("--instances", help="The labels are instance ids.")
    ] = False,
    spacing_mm: Annotated[
        str | None, typer.Option(help="Of files that carry none, such as 0.5,0.5.")
    ] = None,
    grey: Annotated[
        bool, typer.Option("--grey", help="Colours that are all equal: one channel.")
    ] = False,
    image_key: Annotated[str, typer.Option(help="HDF5 data set of the image.")] = "raw",
    label_key: Annotated[
        str, typer.Option(help="HDF5 data set of the label map.")
    ] = "label",
    patients: Annotated[
        Path | None, typer.Option(help="CSV with the columns case, patient and more.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Give up the data that are there.")
    ] = False,
    add: Annotated[
        bool, typer.Option("--add", help="Join the data that are there.")
    ] = False,
) -> None:
    """Bring images and label maps into data/: all or nothing.

    Example: segpipe import ~/study data --images images --labels labels
    """
    from segpipe.tools.conversion import ImportOptions
    from segpipe.tools.importing import import_dataset, parse_structures

    options = ImportOptions(
        images=images,
        labels=labels,
        channel_suffixes=tuple(channel_suffix or ()),
        label_suffix=label_suffix,
        channels=tuple(channel or ()),
        structures=parse_structures(structure or []),
        ignore=ignore,
        instances=instances,
        spacing_mm=_numbers("--spacing-mm", spacing_mm),
        grey=grey,
        image_key=image_key,
        label_key=label_key,
        patients=patients,
        replace=replace,
        add=add,
    )
    typer.echo(import_dataset(source, data, options))


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError as error:
        raise DataError(
            f"{option} {text}: expected numbers with commas between, as in 0.5,0.5"
        ) from error


@app.command(rich_help_panel=TOOLS)
def densify(
    output: Annotated[Path, typer.Argument(help="A new folder for the label maps.")],
    model: Annotated[str, typer.Option(help="A section of train in params.yaml.")],
) -> None:
    """Label all voxels of the volumes in data/ from a few annotated slices.

    The label maps in data/ hold the value `ignore` where nobody annotated.

    Example: segpipe densify dense --model unet3d
    """
    from segpipe.stages import plan, preprocess, verify, weigh
    from segpipe.stages.predict import PredictParams
    from segpipe.tools.densifying import DensifyParams
    from segpipe.tools.densifying import densify as tool

    params = DensifyParams(
        verify=_section("verify", verify.VerifyParams),
        plan=_section("plan", plan.PlanParams),
        preprocess=_section("preprocess", preprocess.PreprocessParams),
        weigh=_section("weigh", weigh.WeighParams),
        train=_train_params(model),
        predict=_section("predict", PredictParams),
    )
    typer.echo(tool(params, output, model=model, compute=_compute(), paths=HERE))


@app.command(rich_help_panel=TOOLS)
def segment(
    model: Annotated[
        str, typer.Argument(help="Segmenter, folder of folds, or models:/NAME@ALIAS.")
    ],
    inputs: Annotated[
        list[Path], typer.Argument(help="Images and DICOM series, or their folders.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for the results.")],
    force: Annotated[
        bool, typer.Option("--force", help="Do finished cases again.")
    ] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write them, a file a structure.")
    ] = False,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="Entropy and disagreement of folds.")
    ] = False,
    instances: Annotated[
        bool, typer.Option("--instances", help="Number connected components, too.")
    ] = False,
    overlay: Annotated[
        bool, typer.Option(help="Draw what was found over the image.")
    ] = True,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Mean over mirrored images: slower.")
    ] = False,
    overlap_fraction: Annotated[
        float, typer.Option(min=0, max=0.9, help="Of neighbouring tiles.")
    ] = 0.5,
    memory_gb: Annotated[
        float, typer.Option(min=0, help="Of a forward pass: sets the size of tiles.")
    ] = 4.0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    threads: Annotated[
        int, typer.Option(min=0, help="CPU threads; 0: as many as there are cores.")
    ] = 0,
    spacing_mm: Annotated[
        str | None, typer.Option(help="Of pictures that carry none, such as 0.5,0.5.")
    ] = None,
    resample_tilt: Annotated[
        bool, typer.Option("--resample-tilt", help="Straighten a tilted gantry.")
    ] = False,
) -> None:
    """Segment new images: label maps on their own grids, DICOM-SEG for DICOM.

    Finished cases are skipped; one that fails does not stop the others.

    Example: segpipe segment artifacts/train/unet3d ~/new --output ~/masks
    """
    from segpipe.compute import ComputeParams, build_compute
    from segpipe.params import parse_section
    from segpipe.segmenter import Inference
    from segpipe.tools.segmenting import segment as tool
    from segpipe.tools.segmenting_case import Outputs, SegmentOptions

    values = {
        "device": device,
        "precision": precision,
        "threads": threads or len(os.sched_getaffinity(0)),
        "workers": 0,
        "compile": False,
    }
    where = "--device, --precision, --threads"
    compute = build_compute(parse_section(ComputeParams, values, where=where))
    spacing = _numbers("--spacing-mm", spacing_mm)
    if spacing is not None and len(spacing) != 2:
        raise DataError(f"--spacing-mm {spacing_mm}: expected COLUMNS,ROWS")
    options = SegmentOptions(
        outputs=Outputs(probabilities, uncertainty, instances, overlay),
        inference=Inference(overlap_fraction, "gaussian", memory_gb, mirror, compute),
        spacing_mm=None if spacing is None else (spacing[0], spacing[1]),
        resample_tilt=resample_tilt,
    )
    summary = tool(model, inputs, output, options, force=force, paths=HERE)
    for row in summary.lines():
        typer.echo(row)
    if summary.failed:
        raise typer.Exit(1)


@app.command(rich_help_panel=TOOLS)
def compare(
    model: Annotated[str, typer.Argument(help="The candidate, of the list models.")],
    champion: Annotated[
        str, typer.Argument(help="models:/NAME@champion, or such a one's folder.")
    ],
    margin: Annotated[
        float, typer.Option(min=0, max=1, help="Mean Dice that may be lost.")
    ] = 0.02,
    minimum_patients: Annotated[
        int, typer.Option(min=2, help="With fewer, nothing is decided.")
    ] = 3,
    structure_margin: Annotated[
        float, typer.Option(min=0, max=1, help="Of a structure beyond chance.")
    ] = 0.0,
    new_failures: Annotated[
        int, typer.Option(min=0, help="Structures of cases that may newly fail.")
    ] = 0,
) -> None:
    """Judge a trained model against the champion on patients unknown to both.

    Ends with 1 if the model is not accepted.

    Example: segpipe compare unet3d models:/liver@champion
    """
    from segpipe.registry import SCHEME, fetch
    from segpipe.tools.comparing import compare_with_champion as tool

    folder, name = Path(champion), champion
    if champion.startswith(SCHEME):
        registered = fetch(champion, HERE)
        folder, name = registered.folder, f"{registered.name}/{registered.version}"
    comparison = tool(
        model,
        folder,
        champion_name=name,
        margin=margin,
        minimum_patients=minimum_patients,
        structure_margin=structure_margin,
        new_failures=new_failures,
        compute=_compute(),
        paths=HERE,
    )
    for row in comparison.lines():
        typer.echo(row)
    if not comparison.accepted:
        raise typer.Exit(1)


@app.command(rich_help_panel=TOOLS)
def lineage(
    file: Annotated[Path, typer.Argument(help="A mask that segment wrote.")],
) -> None:
    """Print where a mask came from: inputs, model, run, commit, data.

    Example: segpipe lineage ~/masks/case_01.nii.gz
    """
    from segpipe.tools.tracing import lineage as tool

    for row in tool(file, HERE):
        typer.echo(row)


@app.command(rich_help_panel=TOOLS)
def preset(
    name: Annotated[str, typer.Argument(help="Of presets/NAME.yaml.")],
    force: Annotated[bool, typer.Option(help="Give up edits of params.yaml.")] = False,
) -> None:
    """Write a complete params.yaml.

    Example: segpipe preset hippocampus
    """
    from segpipe.tools.presets import write_preset

    write_preset(name, params=HERE.params, presets=Path("presets"), force=force)


@app.command(rich_help_panel=TOOLS)
def export(
    model: Annotated[
        str, typer.Argument(help="Segmenter, folder of folds, or models:/NAME@ALIAS.")
    ],
    output: Annotated[Path, typer.Argument(help="A new folder for the networks.")],
) -> None:
    """Write a segmenter as ONNX, with a script that runs it without torch.

    Example: segpipe export artifacts/train/unet3d/0/segmenter unet3d-onnx
    """
    from segpipe.tools.exporting import export as tool

    typer.echo(tool(model, output, HERE))


@app.command(rich_help_panel=TOOLS)
def device() -> None:
    """Say on which device and in which precision this machine would train."""
    typer.echo(_compute())


@app.command(rich_help_panel=TOOLS)
def record() -> None:
    """Create or complete the MLflow runs of what lies in artifacts/; idempotent."""
    from segpipe.tools.recording import record as tool

    for row in tool(HERE):
        typer.echo(row)


@app.command(rich_help_panel=TOOLS)
def results() -> None:
    """Show the figures of all models, and where to look next."""
    from segpipe.tools.results import results as tool

    for row in tool(HERE):
        typer.echo(row)


@app.command(rich_help_panel=TOOLS)
def prune(
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete what is listed.")
    ] = False,
    days: Annotated[float, typer.Option(help="What is younger stays.")] = 7.0,
) -> None:
    """List caches, checkpoints and runs that nothing needs; delete when told.

    Example: segpipe prune --delete
    """
    from segpipe.tools.pruning import find_prunable
    from segpipe.tools.pruning import prune as tool

    items = find_prunable(HERE, days=days)
    for item in items:
        typer.echo(item)
    if delete:
        tool(HERE, items)
    typer.echo(
        f"{len(items)} {'deleted' if delete else 'found; --delete deletes them'}"
    )


@app.command(rich_help_panel=REGISTRY)
def register(
    model: Annotated[str, typer.Argument(help="A name of the list models.")],
    name: Name = None,
) -> None:
    """Register the trained folds of a model as a new version, the candidate.

    Nothing is registered unless MLflow loads it back to the same labels.

    Example: segpipe register unet3d
    """
    from segpipe.tools.registering import register_model

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
    from segpipe.tools.versions import models as tool

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
    from segpipe.registry import promote as act
    from segpipe.tools.registering import default_name

    act(name or default_name(HERE), str(version), why, HERE)
    models(name or default_name(HERE))


@app.command(rich_help_panel=REGISTRY)
def rollback(why: Why, name: Name = None) -> None:
    """Make the previous version the champion again.

    Example: segpipe rollback --why "misses the left kidney"
    """
    from segpipe.registry import rollback as act
    from segpipe.tools.registering import default_name

    act(name or default_name(HERE), why, HERE)
    models(name or default_name(HERE))


if __name__ == "__main__":
    main()
