"""Models are named in errors and warned of sides that they mix up."""

from pathlib import Path

import pytest

from segpipe.planning.models import find_pairs
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import plan
from tests.support.planned import write_ten_cases
from tests.support.projects import PLAN, TRAIN, changed


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
