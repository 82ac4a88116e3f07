"""The plan follows from the non-test cases and from nothing else."""

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from segpipe.dataset.split import read_split
from segpipe.images.formats.nifti import (
    read_image,
    read_label,
    write_image,
    write_label,
)
from segpipe.images.region import Emptiness
from segpipe.networks.build import NetworkSpec, apply_network, build_network
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.segmenter.plan import (
    DatasetProfile,
    PatchPlan,
    Plan,
    plan_file,
    read_patch_plan,
    read_plan,
)
from segpipe.stages import plan
from segpipe.stages.plan import choose_emptiness, find_pairs, plan_patch
from tests.support.phantoms import write_dataset
from tests.support.projects import PATIENTS, PLAN, TRAIN, changed, run_to_split

MODELS = {"m": TRAIN}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    write_dataset(paths.data, cases=10, patients=PATIENTS)
    run_to_split(paths)
    return paths


def plan_of(paths: Paths, **values: object) -> Plan:
    plan.run(changed(PLAN, **values), models=MODELS, paths=paths)
    return read_plan(paths.artifacts)


def test_the_fingerprint_is_what_the_cases_are(paths: Paths) -> None:
    found = plan_of(paths).profile

    assert found.cases == 10 - len(read_split(paths.artifacts).test)
    assert found.median_shape == (24, 20, 16)
    assert found.spacings[2] == (2, 2, 2)
    assert sum(found.class_frequencies) == pytest.approx(1)
    label = read_label(paths.data / "labelsTr" / "case_00.nii").array
    assert found.class_frequencies[1] == pytest.approx((label == 1).mean(), rel=0.2)


def test_test_cases_have_no_say(paths: Paths) -> None:
    before = plan_of(paths)
    for name in read_split(paths.artifacts).test:
        file = paths.data / "imagesTr" / f"{name}_0000.nii"
        image = read_image(file)
        write_image(file, image.array[0] * 100, image.grid)

    assert plan_of(paths) == before


def test_only_new_cases_are_looked_at_again(paths: Paths) -> None:
    before = plan_of(paths)
    cache = paths.cache / "plan"
    known = {entry.name for entry in cache.iterdir()}
    assert len(known) == before.profile.cases
    assert plan_of(paths) == before
    name = read_split(paths.artifacts).folds[0].training[0]
    file = paths.data / "imagesTr" / f"{name}_0000.nii"
    image = read_image(file)
    write_image(file, image.array[0] * 2, image.grid)

    after = plan_of(paths)
    assert after.profile.intensities != before.profile.intensities
    assert len({entry.name for entry in cache.iterdir()} - known) == 1


def test_fixed_values_are_kept(paths: Paths) -> None:
    found = plan_of(paths, spacing=(2.0, 1.0, 2.0), normalization=("none",))

    assert found.spacing == (2, 1, 2)
    assert found.normalization[0].kind == "none"
    assert found.profile.median_prepared_shape == (12, 20, 16)


@pytest.mark.parametrize(
    ("spacing", "warned"), [((1.0, 1.0, 2.0), 0), ((4.0, 4.0, 4.0), 2)]
)
def test_a_spacing_too_coarse_for_a_structure_is_warned_of(
    spacing: tuple[float, float, float],
    warned: int,
    paths: Paths,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Balls of a radius of 3 voxels, in voxels of 4 x 4 x 2."""
    plan_of(paths, spacing=spacing)

    assert caplog.text.count("no network can reach more") == warned
    assert caplog.text.count("set plan.spacing finer") == warned


@pytest.mark.parametrize(
    ("filled", "cases", "kind"),
    [(18, 10, "box"), (17, 10, "voxels"), (17, 1, "box")],
)
def test_a_set_that_is_mostly_air_counts_its_voxels_that_are_not_empty(
    filled: int, cases: int, kind: str, paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    """Slices along i that are not empty, of 24: 3/4 and fewer, in most cases or few."""
    caplog.set_level("INFO")
    for number in range(cases):
        file = paths.data / "imagesTr" / f"case_{number:02d}_0000.nii"
        image = read_image(file)
        image.array[:, filled:] = -7
        write_image(file, image.array[0], image.grid)

    found = plan_of(paths)
    assert found.region is not None
    assert found.region.kind == kind
    assert found.region.background == ((-7,) if cases == 10 else (0,))
    assert f"z-scores over the {kind}" in caplog.text


def test_without_z_scores_there_is_no_region(paths: Paths) -> None:
    assert plan_of(paths, normalization=("ct",)).region is None


def test_percentiles_stand_in_the_plan(paths: Paths) -> None:
    """Nothing else of the cases does, so a new one leaves the plan as it is."""
    found = plan_of(paths, normalization="percentile", percentiles=(2.0, 99.0))

    how = found.normalization[0]
    assert (how.kind, how.low, how.high, how.mean) == ("percentile", 2, 99, 0)
    assert found.region is None
    assert "polarity" not in found.model_dump(mode="json")
    turned = plan_of(paths, normalization=("percentile",), polarity="light_on_dark")
    assert turned.polarity == "light_on_dark"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"polarity": "light_on_dark"}, "plan.polarity: expected as_is without"),
        ({"percentiles": (99.0, 1.0)}, "found 99 and 1"),
    ],
)
def test_percentiles_and_polarity_fit_together(paths: Paths, values, words) -> None:
    with pytest.raises(DataError, match=words):
        plan_of(paths, **values)


def hollow(paths: Paths, *, ball: float, spread: float = 0) -> None:
    """Set all but the structures of each case, and one voxel beside them, to -7.

    Args:
        paths: The project's folders.
        ball: Lowest value of all voxels of structures but one, which is 100.
        spread: Range of these values.
    """
    for number in range(10):
        file = paths.data / "imagesTr" / f"case_{number:02d}_0000.nii"
        image = read_image(file)
        label = read_label(paths.data / "labelsTr" / f"case_{number:02d}.nii")
        drawn = ball + spread * np.random.default_rng(0).random(label.array.shape)
        image.array[0] = np.where(label.array > 0, drawn, -7)
        place = tuple(np.argwhere(label.array == 1)[0])
        image.array[0][place] = 100
        write_image(file, image.array[0], image.grid)


def test_nothing_is_empty_unless_it_was_measured(paths: Paths) -> None:
    """Plans without the key keep the bytes that they had before there was one."""
    assert plan_of(paths).emptiness is None
    assert "emptiness" not in json.loads(plan_file(paths.artifacts).read_text())


def test_what_is_empty_is_beside_all_structures(paths: Paths) -> None:
    """Structures are bright all through, so nothing reaches into the background."""
    hollow(paths, ball=50)

    found = plan_of(paths, emptiness="measure").emptiness

    assert found == Emptiness(floors=(-7.0,), reach=4)
    assert read_plan(paths.artifacts).emptiness == found


def test_the_reach_is_twice_that_of_structures_into_the_background(
    paths: Paths,
) -> None:
    """Structures have the value of the background but at one voxel."""
    hollow(paths, ball=-7)
    test = set(read_split(paths.artifacts).test)
    farthest = []
    for case in PATIENTS:
        if case not in test:
            label = read_label(paths.data / "labelsTr" / f"{case}.nii").array
            first = np.argwhere(label == 1)[0]
            farthest.append(np.abs(np.argwhere(label > 0) - first).max())

    found = plan_of(paths, emptiness="measure").emptiness

    if max(farthest) > 16:
        assert found is None
    else:
        assert found == Emptiness(floors=(-7.0,), reach=2 * int(max(farthest)) + 4)


@pytest.mark.parametrize(
    ("farthest", "reach"),
    [([0, 0], 4), ([0, -1, 16], 36), ([0, 17], None), ([-1], None), ([], None)],
)
def test_structures_too_far_inside_what_is_empty_forbid_it(
    farthest: list[int], reach: int | None
) -> None:
    found = choose_emptiness((0.0,), farthest)

    assert (None if found is None else found.reach) == reach


def test_below_the_clipping_of_ct_is_empty(paths: Paths) -> None:
    """Half a percent of the structures' voxels are clipped, each beside others."""
    hollow(paths, ball=50, spread=20)

    found = plan_of(paths, normalization=("ct",), emptiness="measure")

    assert found.emptiness is not None
    assert found.emptiness.floors == (found.normalization[0].low,)
    assert found.emptiness.reach in (4, 6)


def test_normalizations_are_one_a_channel(paths: Paths) -> None:
    with pytest.raises(
        DataError, match=r"normalization: expected one for each channel"
    ):
        plan_of(paths, normalization=("none", "ct"))


def test_a_fixed_patch_that_does_not_fit_names_the_model(paths: Paths) -> None:
    shape = changed(TRAIN, patch_size=(10, 16, 8))

    with pytest.raises(DataError, match=r"model odd: .*found 10; the next is 16"):
        plan.run(PLAN, models={"odd": shape}, paths=paths)


def test_models_that_were_dropped_leave_no_patch(paths: Paths) -> None:
    plan.run(PLAN, models={"a": MODELS["m"], "b": MODELS["m"]}, paths=paths)
    plan.run(PLAN, models={"a": MODELS["m"]}, paths=paths)

    patches = paths.artifacts / "plan" / "patches"
    assert [path.name for path in patches.iterdir()] == ["a.json"]
    assert read_patch_plan(paths.artifacts, "a").patch_size == (16, 16, 8)


def test_a_coarse_axis_takes_its_10th_percentile(tmp_path: Path) -> None:
    """So that few coarse cases do not blur the many finer ones: Isensee 2021."""
    paths = Paths(tmp_path)
    write_dataset(paths.data, cases=10, patients=PATIENTS)
    for number, file in enumerate(sorted((paths.data / "imagesTr").iterdir())):
        image = read_image(file)
        affine = np.diag([1.0, 1.0, 4.0 + number, 1.0])
        grid = type(image.grid)(image.grid.shape, affine, "mm")
        write_image(file, image.array[0], grid)
        label = paths.data / "labelsTr" / file.name.replace("_0000", "")
        write_label(label, read_label(label).array, grid)
    run_to_split(paths)
    found = plan_of(paths)

    steps = [4 + int(case[-2:]) for case in PATIENTS]
    kept = [
        step
        for step, case in zip(steps, PATIENTS, strict=True)
        if case not in read_split(paths.artifacts).test
    ]
    assert found.spacing[:2] == (1, 1)
    assert found.spacing[2] == pytest.approx(np.percentile(kept, 10))


def test_ct_is_known_by_its_channels_name(paths: Paths) -> None:
    assert plan_of(paths).normalization[0].kind == "zscore"
    file = paths.artifacts / "verify" / "cases.json"
    file.write_text(file.read_text().replace('"intensity"', '"CT"'))

    found = plan_of(paths).normalization[0]
    assert found.kind == "ct"
    assert found.low < found.mean < found.high


PAIRS = {
    ("background", "left_kidney", "right_kidney"): [("left_kidney", "right_kidney")],
    ("Kidney L", "Kidney R", "spleen"): [("Kidney L", "Kidney R")],
    ("LeftLung", "RightLung"): [("LeftLung", "RightLung")],
    ("hippocampus-Left", "hippocampus-right"): [
        ("hippocampus-Left", "hippocampus-right")
    ],
    ("left_ventricle", "right_atrium"): [],
    ("left", "ball"): [],
    ("cleft", "cright"): [],
    ("level 1", "level 2"): [],
}


@pytest.mark.parametrize("structures", PAIRS)
def test_pairs_are_known_by_their_names(structures: tuple[str, ...]) -> None:
    assert find_pairs(structures) == PAIRS[structures]


def test_mirroring_structures_of_two_sides_is_said(
    paths: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    file = paths.artifacts / "verify" / "cases.json"
    text = file.read_text().replace('"ball"', '"left lung"')
    file.write_text(text.replace('"core"', '"right lung"'))
    models = {
        name: changed(
            TRAIN, augmentation=changed(TRAIN.augmentation, flip=flip).model_dump()
        )
        for name, flip in {"all": True, "kept": ("A", "S"), "none": False}.items()
    }
    plan.run(PLAN, models=models, paths=paths)

    said = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert said == [
        "model all: left lung and right lung differ by their side only, and "
        "augmentation.flip mirrors left to right; set flip: [A, S]"
    ]


def spec(name: str, *, padding: str = "same", base: int = 8) -> NetworkSpec:
    return NetworkSpec.model_validate(
        {
            "name": name,
            "in_channels": 1,
            "out_channels": 2,
            "base_channels": base,
            "padding": padding,
        }
    )


def choose(
    network: NetworkSpec,
    *,
    shape: tuple[int, int, int] = (100, 90, 40),
    largest: tuple[int, int, int] = (120, 90, 41),
    memory_gb: float = 4.0,
    patch_size: Literal["auto", "full"] | tuple[int, int, int] = "auto",
    batch_size: Literal["auto"] | int = "auto",
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> PatchPlan:
    return plan_patch(
        network,
        profile=DatasetProfile(
            cases=1,
            median_shape=shape,
            median_prepared_shape=shape,
            largest_prepared_shape=largest,
            spacings=(),
            intensities=(),
            class_frequencies=(),
        ),
        spacing=spacing,
        slice_axis=2 if network.dimensions == 2 else None,
        patch_size=patch_size,
        batch_size=batch_size,
        memory_gb=memory_gb,
        largest_batch=8,
    )


@pytest.mark.parametrize(
    ("name", "stride"), [("unet2d", 16), ("unet3d", 8), ("vnet", 16)]
)
def test_a_patch_is_valid_for_its_network_and_covers_the_case(
    name: str, stride: int
) -> None:
    patch = choose(spec(name), memory_gb=100.0)

    for size, needed in zip(patch.patch_size, (100, 90, 40), strict=True):
        if size != 1:
            assert size % stride == 0
            assert needed <= size < needed + stride


def test_a_2d_network_sees_one_slice() -> None:
    assert choose(spec("unet2d")).patch_size[2] == 1


@pytest.mark.parametrize("memory_gb", [0.2, 0.5, 2.0])
def test_less_memory_gives_a_smaller_patch_that_fits(memory_gb: float) -> None:
    patch = choose(spec("unet3d"), memory_gb=memory_gb)

    assert patch.memory_gb <= memory_gb
    assert patch.batch_size >= 2
    larger = choose(spec("unet3d"), memory_gb=2 * memory_gb)
    size, more = (
        p.patch_size[0] * p.patch_size[1] * p.patch_size[2] for p in (patch, larger)
    )
    assert size <= more


def test_a_fixed_patch_is_kept_and_a_wrong_one_refused() -> None:
    assert choose(spec("unet3d"), patch_size=(64, 48, 40)).patch_size == (64, 48, 40)
    with pytest.raises(DataError, match=r"8 m \+ 0.*found 50; the next is 56"):
        choose(spec("unet3d"), patch_size=(64, 50, 40))
    with pytest.raises(DataError, match="expected 1 along the slice axis 2"):
        choose(spec("unet2d"), patch_size=(64, 64, 16))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("name", ["unet2d", "unet3d", "vnet"])
@pytest.mark.parametrize("patch_size", ["auto", "full"])
def test_the_patch_of_the_smallest_cases_trains_and_predicts(
    name: str, padding: str, patch_size: Literal["auto", "full"]
) -> None:
    """The network computes it for real; of 8 x 8 x 8 little is left at its bottom."""
    small = spec(name, padding=padding, base=1)
    patch = choose(small, shape=(8, 8, 8), largest=(8, 8, 8), patch_size=patch_size)

    network = build_network(small)
    image = torch.rand(1, 1, *patch.patch_size)
    for mode in (network.train(), network.eval()):
        with torch.no_grad():
            assert apply_network(mode, image, patch.slice_axis).isfinite().all()


def test_a_fixed_patch_with_one_voxel_at_the_deepest_level_names_one_that_works() -> (
    None
):
    with pytest.raises(DataError, match=r"\[8, 8, 8\]; .* works is \[16, 8, 8\]"):
        choose(spec("unet3d"), patch_size=(8, 8, 8))

    for fits in ((16, 8, 8), (8, 8, 16)):
        assert choose(spec("unet3d"), patch_size=fits).patch_size == fits
    assert choose(spec("vnet"), patch_size=(16, 16, 16)).patch_size == (16, 16, 16)


def test_the_smallest_cases_need_room_for_their_patch() -> None:
    with pytest.raises(DataError, match=r"plan\.memory_gb.*lower base_channels"):
        choose(spec("unet3d", base=64), shape=(8, 8, 16), memory_gb=0.01)


def test_a_fixed_batch_is_kept() -> None:
    assert choose(spec("vnet"), batch_size=3).batch_size == 3


def test_a_valid_network_gets_room_for_its_margin() -> None:
    patch = choose(spec("unet2d", padding="valid"), memory_gb=100.0)

    assert [(n - 12) % 16 for n in patch.patch_size[:2]] == [0, 0]
    assert patch.patch_size[0] - 184 >= 100


def test_a_budget_below_the_smallest_patch_is_refused_with_the_mend() -> None:
    with pytest.raises(DataError, match=r"plan\.memory_gb.*lower base_channels"):
        choose(spec("vnet", base=32), memory_gb=0.1)


def test_full_images_are_covered_whatever_the_memory() -> None:
    patch = choose(spec("unet3d"), patch_size="full", memory_gb=0.1, batch_size=1)

    assert patch.patch_size == (120, 96, 48)
    assert choose(spec("unet2d"), patch_size="full").patch_size == (128, 96, 1)


@pytest.mark.parametrize("patch_size", ["auto", "full"])
def test_a_network_that_follows_the_patch_gets_strides_for_each_axis(
    patch_size: Literal["auto", "full"],
) -> None:
    """Slices of 3 mm in a plane of 1 mm: 20 of them are pooled at 4 mm, twice."""
    patch = choose(
        spec("resenc3d", base=2),
        shape=(100, 90, 18),
        largest=(100, 90, 18),
        spacing=(1.0, 1.0, 3.0),
        patch_size=patch_size,
    )

    assert patch.topology is not None
    assert patch.topology.total_stride == (16, 16, 4)
    assert patch.topology.kernels[0] == (3, 3, 1)
    assert patch.patch_size == (112, 96, 20)
    shaped = spec("resenc3d", base=2).model_copy(update={"topology": patch.topology})
    image = torch.rand(1, 1, *patch.patch_size, device="meta")
    with torch.device("meta"):
        logits = apply_network(build_network(shaped), image, None)
    assert logits.shape[2:] == patch.patch_size


def test_the_plane_of_a_2d_network_decides_its_strides() -> None:
    patch = choose(spec("resenc2d", base=2), spacing=(1.0, 1.0, 3.0))

    assert patch.topology is not None
    assert patch.topology.total_stride == (16, 16)
    assert patch.patch_size == (112, 96, 1)


def test_less_memory_gives_fewer_strides_too() -> None:
    small = choose(spec("resenc3d", base=8), memory_gb=0.1)

    assert small.memory_gb <= 0.1
    assert small.topology is not None
    for size, stride in zip(small.patch_size, small.topology.total_stride, strict=True):
        assert size % stride == 0


def test_a_patch_that_its_own_strides_do_not_divide_is_refused() -> None:
    with pytest.raises(DataError, match=r"4 m \+ 0.*found 18; the next is 20"):
        choose(spec("resenc3d"), patch_size=(18, 16, 16))
