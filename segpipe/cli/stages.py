"""The commands that dvc.yaml calls, one for each stage."""

from typing import Annotated

import typer

from segpipe.cli.options import STAGES, importing
from segpipe.cli.project import (
    HERE,
    read_compute,
    read_list,
    read_networks,
    read_section,
    read_train_params,
)

Model = Annotated[str, typer.Option(help="A name of the list models in params.yaml.")]
Fold = Annotated[int, typer.Option(help="A number of the list folds in params.yaml.")]

app = typer.Typer()


@app.command(rich_help_panel=STAGES)
def code() -> None:
    """Digest the code behind each stage, so that DVC sees which stages changed."""
    with importing():
        from segpipe.stages import code as stage

    stage.run(networks=read_networks(), paths=HERE)


@app.command(rich_help_panel=STAGES)
def verify() -> None:
    """Check the data set, and report all faults of all cases at once."""
    with importing():
        from segpipe.stages import verify as stage

    models = {name: read_train_params(name) for name in read_list("models", str)}
    stage.run(
        read_section("verify", stage.VerifyParams),
        networks={name: params.dimensions for name, params in models.items()},
        paths=HERE,
    )


@app.command(rich_help_panel=STAGES)
def split() -> None:
    """Choose test set and folds by patient."""
    with importing():
        from segpipe.planning.sides.assignment import SplitParams
        from segpipe.stages import split as stage

    stage.run(read_section("split", SplitParams), paths=HERE)


@app.command(rich_help_panel=STAGES)
def plan() -> None:
    """Profile the data set; choose spacing, normalization, patch and batch size."""
    with importing():
        from segpipe.planning.params import PlanParams
        from segpipe.stages import plan as stage

    models = {name: read_train_params(name) for name in read_list("models", str)}
    stage.run(read_section("plan", PlanParams), models=models, paths=HERE)


@app.command(rich_help_panel=STAGES)
def preprocess() -> None:
    """Reorient, resample and normalize every case."""
    with importing():
        from segpipe.stages import preprocess as stage

    stage.run(read_section("preprocess", stage.PreprocessParams), paths=HERE)


@app.command(rich_help_panel=STAGES)
def annotate() -> None:
    """Choose which voxels count as annotated: all, or those of a few slices."""
    with importing():
        from segpipe.stages import annotate as stage

    stage.run(read_section("annotate", stage.AnnotateParams), paths=HERE)


@app.command(rich_help_panel=STAGES)
def weigh() -> None:
    """Compute the border-weight map and the class counts of every case."""
    with importing():
        from segpipe.stages import weigh as stage

    stage.run(read_section("weigh", stage.WeighParams), paths=HERE)


@app.command(rich_help_panel=STAGES)
def train(model: Model, fold: Fold) -> None:
    """Train the network of one fold; an interrupted training continues.

    Example: segpipe train --model unet3d --fold 0
    """
    with importing():
        from segpipe.cli.observing.observer import observe
        from segpipe.stages import train as stage

    stage.run(
        read_train_params(model),
        model=model,
        fold=fold,
        compute=read_compute(),
        paths=HERE,
        observe=observe,
    )


@app.command(rich_help_panel=STAGES)
def predict(model: Model) -> None:
    """Segment the test cases with the mean of a model's folds."""
    with importing():
        from segpipe.stages import predict as stage

    stage.run(
        read_section("predict", stage.PredictParams),
        model=model,
        folds=read_list("folds", int),
        compute=read_compute(),
        paths=HERE,
    )


@app.command(rich_help_panel=STAGES)
def evaluate(model: Model) -> None:
    """Compare predictions with references, by case and structure."""
    with importing():
        from segpipe.stages import evaluate as stage

    stage.run(read_section("evaluate", stage.EvaluateParams), model=model, paths=HERE)


@app.command(rich_help_panel=STAGES)
def report() -> None:
    """Write one page with all models side by side."""
    with importing():
        from segpipe.stages import report as stage

    stage.run(
        read_section("report", stage.ReportParams),
        models=read_list("models", str),
        folds=read_list("folds", int),
        paths=HERE,
    )
