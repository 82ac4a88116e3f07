"""What is empty holds no structure of any case."""

import json
from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.split import read_split
from segpipe.images.formats.nifti import read_label
from segpipe.images.region import Emptiness
from segpipe.planning.emptiness import choose_emptiness
from segpipe.project.paths import Paths
from segpipe.segmenter.plan import plan_file, read_plan
from tests.support.planned import hollow, plan_of, write_ten_cases
from tests.support.projects import PATIENTS


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return write_ten_cases(tmp_path)


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
