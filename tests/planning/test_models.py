"""Models are named in errors and warned of sides that they mix up."""

from pathlib import Path

import pytest

from segpipe.images.grid import Spacing, Triple
from segpipe.planning.models import find_pairs, plan_model
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import plan
from tests.support.planned import write_ten_cases
from tests.support.projects import PLAN, TRAIN, changed
from tests.support.segmenters import make_plan


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return write_ten_cases(tmp_path)


def test_a_fixed_patch_that_does_not_fit_names_the_model(paths: Paths) -> None:
    shape = changed(TRAIN, patch_size=(10, 16, 8))

    with pytest.raises(DataError, match=r"model odd: .*found 10; the next is 16"):
        plan.run(PLAN, models={"odd": shape}, paths=paths)


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


@pytest.mark.parametrize(
    ("shape", "spacing", "patch", "factor"),
    [
        ((96, 96, 48), (1.0, 1.0, 2.0), (32, 32, 16), (3, 3, 2)),  # 3 patches, 3 mm
        ((32, 32, 16), (1.0, 1.0, 2.0), (32, 32, 16), (2, 2, 1)),  # at least 2
        ((512, 512, 900), (0.9, 0.9, 1.0), (48, 48, 48), (4, 4, 4)),  # at most 4
        ((256, 256, 32), (0.8, 0.8, 5.0), (64, 64, 16), (4, 4, 1)),  # thick slices
    ],
)
def test_a_coarse_voxel_is_as_long_as_patches_it_takes_to_cover_a_case(
    shape: Triple, spacing: Spacing, patch: Triple, factor: Triple
) -> None:
    """The finest axis decides, and the others follow its length."""
    params = changed(TRAIN, coarse=True, patch_size=patch)
    made = make_plan(shape=shape, spacing=spacing)

    found = plan_model(changed(PLAN, memory_gb=0.2), "m", params, made)

    assert found.coarse is not None
    assert found.coarse.factor == factor
    covered = [-(-size // n) for size, n in zip(shape, factor, strict=True)]
    pairs = zip(found.coarse.patch_size, covered, strict=True)
    assert all(size < length + 8 for size, length in pairs)  # strides of 8 voxels
    assert found.coarse.memory_gb <= 0.2


def test_an_error_about_the_coarse_patch_says_so() -> None:
    params = changed(TRAIN, coarse=True, patch_size=(16, 16, 16))
    made = make_plan(shape=(512, 512, 512))
    least = plan_model(PLAN, "m", changed(params, coarse=False), made).memory_gb

    with pytest.raises(DataError, match=r"params\.yaml, model m: coarse: .*memory_gb"):
        plan_model(changed(PLAN, memory_gb=least / 20), "m", params, made)
