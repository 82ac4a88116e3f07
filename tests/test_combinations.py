"""Whatever params allow can be trained: each combination, and each shipped preset.

The combinations come from the types of the params: a new network, padding, precision or
transform is among them by itself. Some networks meet each transform once, in one of the
combinations of all else; all others meet it in all of them.
"""

import functools
import itertools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
import torch

from segpipe.networks.build import margin_of
from segpipe.networks.catalogue import NETWORKS, NetworkName
from segpipe.planning.params import PlanParams
from segpipe.project.errors import DataError
from segpipe.project.params import parse_section, read_params
from segpipe.project.paths import Paths
from segpipe.segmenter.settings import Precision
from segpipe.stages import (
    annotate,
    evaluate,
    plan,
    predict,
    preprocess,
    report,
    weigh,
)
from segpipe.training.checkpoints import Progress
from segpipe.training.distributed import World
from segpipe.training.losses import LossParams
from segpipe.training.patches.augmentation import AugmentationParams
from segpipe.training.step import augment_patches, draw_patches, train_step
from segpipe.training.task.build import Task, build_task
from segpipe.training.task.section import TrainParams
from segpipe.training.task.start import start_or_resume
from tests.support.narrow import brings_loss, narrow, needed
from tests.support.phantoms import write_dataset, write_tumours
from tests.support.places import ROOT
from tests.support.projects import (
    EVALUATE,
    PATIENTS,
    PREDICT,
    PREPROCESS,
    TRAIN,
    changed,
    one_thread,
    run_to_annotate,
    run_to_split,
    train,
    with_loss,
)

log = logging.getLogger(__name__)
NETWORK_NAMES: tuple[NetworkName, ...] = get_args(NetworkName)
PADDINGS: tuple[Literal["valid", "same"], ...] = get_args(
    TrainParams.model_fields["padding"].annotation
)
PRECISIONS = [name for name in get_args(Precision) if name != "auto"]
DIMENSIONS = (2, 3)  # of the data
THOROUGH = {"unet2d", "unet3d", "vnet", "resenc2d", "resenc3d"}
SHORT: dict[str, Any] = dict.fromkeys(("epochs", "validation_interval"), 1)
SHORT |= {"budget": "params", "steps_per_epoch": 2}
OFF: dict[str, Any] = {
    name: "coarse" if name == "elastic_spacing" else 0.0
    for name in AugmentationParams.model_fields
} | {"flip": False}
MAGNITUDES: dict[str, Any] = {  # 1 for the others
    "flip": True,
    "rotation_deg": 45.0,
    "scale_fraction": 0.3,
    "elastic_deviation": 3.0,
}


def transforms() -> dict[str, dict[str, Any]]:
    """Nothing, each transform alone, and all together with either elastic field."""
    alone = {
        name: {**OFF, name: MAGNITUDES.get(name, 1.0)}
        for name in OFF
        if name != "elastic_spacing"
    }
    everything = {**OFF, **{name: MAGNITUDES.get(name, 1.0) for name in alone}}
    return {
        "nothing": OFF,
        **alone,
        "flip some": {**OFF, "flip": ("A", "S")},
        "everything, coarse": {**everything, "elastic_spacing": "coarse"},
        "everything": {**everything, "elastic_spacing": 8},
    }


TRANSFORMS = transforms()
TURNS = len(DIMENSIONS) * 2 * len(PRECISIONS)  # dense or sparse, too


@dataclass(frozen=True)
class Combination:
    """One choice of each."""

    network: NetworkName
    padding: Literal["valid", "same"]
    dimensions: int
    transform: str
    sparse: bool
    precision: str

    @property
    def model(self) -> str:
        """Name of the model whose patch plan it uses."""
        return f"{self.network}-{self.padding}"


def combinations() -> Iterator[Combination]:
    """All that params allow, and of networks that are not THOROUGH a share of it."""
    for number, transform in enumerate(TRANSFORMS):
        rest = itertools.product(DIMENSIONS, (False, True), PRECISIONS)
        for turn, (dimensions, sparse, precision) in enumerate(rest):
            for name, padding in itertools.product(NETWORK_NAMES, PADDINGS):
                network = NETWORKS[name]
                if network.dimensions > dimensions:
                    continue  # verify refuses a 3-D network on pictures
                if padding not in network.paddings:
                    continue
                if name in THOROUGH or (number - turn) % TURNS == 0:
                    yield Combination(
                        name, padding, dimensions, transform, sparse, precision
                    )


@functools.cache
def smallest(name: NetworkName, padding: Literal["valid", "same"]) -> TrainParams:
    """A network of one channel on its smallest patch; one of 16 if it is padded."""
    with torch.device("meta"):
        network = NETWORKS[name](1, 2, padding=padding, **narrow(name))
    size = network.input_size(1 if network.margin else 16)
    first = size * (1 + name.startswith("monai"))  # no single voxel at its bottom
    shape = (first, size, 1 if network.dimensions == 2 else size)
    return changed(
        TRAIN,
        network=name,
        padding=padding,
        **narrow(name),
        **needed(name),
        patch_size=shape,
        slice_axis=2 if network.dimensions == 2 else "auto",
        batch_size=1,
        epochs=1,
        steps_per_epoch=len(TRANSFORMS),
        augmentation=TRAIN.augmentation.model_copy(update={"histogram_matching": 1.0}),
    )


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Paths]:
    """Data of 2 and of 3 dimensions, prepared for every network that they allow."""
    found = {}
    for dimensions in DIMENSIONS:
        paths = Paths(tmp_path_factory.mktemp(f"project-{dimensions}"))
        write_dataset(paths.data, dimensions=dimensions, cases=10, patients=PATIENTS)
        models = {
            f"{name}-{padding}": smallest(name, padding)
            for name, padding in itertools.product(NETWORK_NAMES, PADDINGS)
            if padding in NETWORKS[name].paddings
            and NETWORKS[name].dimensions <= dimensions
        }
        run_to_annotate(paths, models)
        found[dimensions] = paths
    return found


@contextmanager
def without_onednn(unused: bool) -> Iterator[None]:
    """Convolve with torch itself: of few channels in float32 three times as fast."""
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = before and not unused
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


def take_step(task: Task, progress: Progress, step: int) -> None:
    """One step as the stage takes it; a loss that is not finite is an error."""
    margin = margin_of(progress.network, task.patch.slice_axis)
    patches = augment_patches(task, draw_patches(task, margin, step))
    assert patches.image.isfinite().all()
    assert ((patches.reference >= 0) | (patches.weight == 0)).all()
    small = task.params.network != "vnet"  # whose kernels are large
    with without_onednn(small and task.compute.precision == "fp32"):
        train_step(task, progress, step, patches)
    assert all(weight.isfinite().all() for weight in progress.network.parameters())


@dataclass
class Training:
    """A training that goes through all transforms, one a step."""

    task: Task
    progress: Progress
    steps: int = 0

    def go_on(self, transform: str) -> None:
        """Take the next step, with a transform, which alone is checked again."""
        augmentation = AugmentationParams.model_validate(TRANSFORMS[transform])
        params = self.task.params.model_copy(update={"augmentation": augmentation})
        take_step(replace(self.task, params=params), self.progress, self.steps)
        self.steps += 1


def test_every_combination_that_params_allow_trains(
    projects: dict[int, Paths], caplog: pytest.LogCaptureFixture
) -> None:
    """A training for each choice of all but the transform; a step for each of these."""
    caplog.set_level("INFO")
    trainings: dict[Combination, Training] = {}
    for combination in combinations():
        key = replace(combination, transform="")
        if key not in trainings:
            params = smallest(combination.network, combination.padding)
            task = build_task(
                changed(params, sparse_annotation=combination.sparse),
                combination.model,
                0,
                replace(one_thread(), precision=combination.precision),
                projects[combination.dimensions],
                "0" * 64,
                World(),
            )
            trainings[key] = Training(task, start_or_resume(task))
        log.info("%s", combination)  # the last one that is shown is the one that fails
        trainings[key].go_on(combination.transform)

    kinds = {(found.network, found.padding) for found in combinations()}
    thorough = [name for name, _ in kinds if name in THOROUGH]
    flat = [name for name in thorough if NETWORKS[name].dimensions == 2]
    assert {name for name, _ in kinds} == set(NETWORKS)
    steps = {key: training.steps for key, training in trainings.items()}
    full = [count for key, count in steps.items() if key.network in THOROUGH]
    assert len(full) == 4 * (len(thorough) + len(flat))  # these on both kinds of data
    assert set(full) == {len(TRANSFORMS)}
    assert sum(full) == 640
    others = [NETWORKS[name].dimensions for name, _ in kinds if name not in THOROUGH]
    turns = {2: TURNS, 3: TURNS // 2}  # a 3-D network on volumes only
    assert len(steps) - len(full) == sum(turns[axes] for axes in others)


LOSSES = [
    name
    for name in get_args(LossParams.model_fields["name"].annotation)
    if name != "own"  # whose objects do not overlap
]


@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_every_loss_trains_structures_that_overlap(
    dimensions: int, tmp_path: Path
) -> None:
    """With each network and padding, dense and sparse, however patches are drawn.

    Networks that are not THOROUGH take one loss each.
    """
    paths = Paths(tmp_path)
    write_tumours(paths.data, dimensions=dimensions, patients=PATIENTS)
    models = {
        f"{name}-{padding}": changed(smallest(name, padding), border_weights=False)
        for name, padding in itertools.product(NETWORK_NAMES, PADDINGS)
        if padding in NETWORKS[name].paddings
        and NETWORKS[name].dimensions <= dimensions
        and not brings_loss(name)
    }
    run_to_annotate(paths, models)
    others = itertools.cycle(itertools.product(LOSSES, (False, True)))
    ways = itertools.cycle(
        itertools.product(("foreground", "balanced"), ("none", "balanced"))
    )
    for model, params in models.items():
        choices = list(itertools.product(LOSSES, (False, True)))
        if params.network not in THOROUGH:
            choices = [next(others)]
        for loss, sparse in choices:
            sampling, weights = next(ways)
            choice = changed(
                params,
                loss=with_loss(loss),
                sparse_annotation=sparse,
                sampling=sampling,
                class_weights=weights,
                augmentation=TRANSFORMS["everything"],
            )
            task = build_task(choice, model, 0, one_thread(), paths, model, World())
            assert task.spec.network.out_channels == 3
            take_step(task, start_or_resume(task), 0)


@pytest.mark.parametrize("network", NETWORK_NAMES)
@pytest.mark.parametrize("padding", PADDINGS)
def test_a_padding_that_a_network_has_not_is_refused(
    network: NetworkName, padding: Literal["valid", "same"]
) -> None:
    values = {**TRAIN.model_dump(), **narrow(network), **needed(network)}
    values |= {"network": network, "padding": padding}
    values["loss"] = LossParams.model_validate(values["loss"]).model_dump()
    if padding in NETWORKS[network].paddings:
        assert parse_section(TrainParams, values, where="params").padding == padding
        return

    with pytest.raises(
        DataError, match=f'padding: expected same, the only .* {network}, found "valid"'
    ):
        parse_section(TrainParams, values, where="params")


@pytest.mark.parametrize("preset", sorted((ROOT / "presets").glob("*.yaml")))
def test_every_preset_leads_to_a_report_at_its_own_sizes(
    preset: Path, tmp_path: Path
) -> None:
    """Width and steps are cut; patches, batches and all else are the preset's own."""
    document = read_params(preset)

    def section(name: str, kind: Any) -> Any:
        return parse_section(kind, document[name], where=name)

    models = {
        name: changed(
            parse_section(TrainParams, document["train"][name], where=name),
            **{
                "base_channels": narrow(document["train"][name]["network"])[
                    "base_channels"
                ]
            },
            **SHORT,
        )
        for name in document["models"]
    }
    paths = Paths(tmp_path)
    dimensions = max(model.dimensions for model in models.values())
    write_dataset(
        paths.data,
        dimensions=dimensions,
        cases=10,
        patients=PATIENTS,
        instances=any(model.learns_instances for model in models.values()),
    )
    run_to_split(paths, dimensions=dimensions)
    planned = changed(section("plan", PlanParams), workers=1)
    plan.run(planned, models=models, paths=paths)
    preprocess.run(PREPROCESS, paths=paths)
    weighed = changed(section("weigh", weigh.WeighParams), workers=1)
    annotate.run(section("annotate", annotate.AnnotateParams), paths=paths)
    weigh.run(weighed, paths=paths)
    for name, params in models.items():
        train(paths, params, model=name)
        predict.run(PREDICT, model=name, folds=[0], compute=one_thread(), paths=paths)
        evaluate.run(EVALUATE, model=name, paths=paths)
    shown = report.ReportParams(overlays=False)
    report.run(shown, models=list(models), folds=[0], paths=paths)
