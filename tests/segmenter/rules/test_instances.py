"""Rules of instances: what they divide, what they drop, and those of several folds."""

import os
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from segpipe.evaluation.matching import (
    average_precision,
    match_instances,
    overlap_instances,
)
from segpipe.images.borders import Separation, separate_touching
from segpipe.images.formats.files import read_label
from segpipe.images.grid import Grid, Spacing
from segpipe.images.instances import (
    distance_levels,
    find_instances,
    learned_levels,
)
from segpipe.images.values import Legend
from segpipe.segmenter.rules.instances import (
    WHOLE,
    InstanceRule,
    combine_instance_rules,
    number_instances,
)
from segpipe.segmenter.rules.outputs import Outputs

GRID = Grid.from_spacing((24, 12, 1), (2.0, 2.0, 2.0), "mm")


def rule(seeds: str, threshold: float, smallest_mm3: float = 0.0) -> InstanceRule:
    return InstanceRule.model_validate(
        {"seeds": seeds, "threshold": threshold, "smallest_mm3": smallest_mm3}
    )


def bars() -> tuple[np.ndarray, np.ndarray]:
    """A bar of value 3 whose middle is unsure, one of value 5, and a voxel of 3."""
    label = np.zeros(GRID.shape, dtype=np.uint8)
    label[2:20, 1:5], label[2:20, 7:11], label[22, 1] = 3, 5, 3
    inside = np.where(label > 0, 0.9, 0.0)
    inside[10:12] *= 0.5
    return label, inside


def test_each_structure_has_its_own_rule() -> None:
    label, inside = bars()
    found = number_instances(
        label,
        inside,
        grid=GRID,
        values=(3, 5),
        rules=(rule("probability", 0.6, 16.0), WHOLE),
        separation=None,
    )

    assert [len({*found[label == value]} - {0}) for value in (3, 5)] == [2, 1]
    assert found[22, 1, 0] == 0  # 8 mm3
    assert ((found > 0) == (label > 0)).sum() == label.size - 1
    assert len(np.unique(found)) == 4


def test_without_rules_or_with_whole_ones_instances_are_components() -> None:
    label, inside = bars()
    plain = find_instances(label, grid=GRID, separation=None)
    for rules in ((), (WHOLE, WHOLE)):
        found = number_instances(
            label, inside, grid=GRID, values=(3, 5), rules=rules, separation=None
        )
        assert (found == plain).all()


def test_a_size_counts_after_instances_grew_back_over_their_lines() -> None:
    """Two of 4 x 2 voxels that touch: a line leaves 3 x 2 of each, 24 of 64 mm3."""
    drawn = np.zeros((12, 12, 1), dtype=np.int32)
    drawn[2:6, 4:6], drawn[6:10, 4:6] = 1, 2
    made = Separation(dimensions=2, slice_axis=2, spacing=(2.0, 2.0, 2.0))
    lined = (separate_touching(drawn, dimensions=2) > 0).astype(np.uint8)
    grid = Grid.from_spacing((12, 12, 1), (2.0, 2.0, 2.0), "mm")
    sizes = [
        np.bincount(
            number_instances(
                lined,
                None,
                grid=grid,
                values=(1,),
                rules=(rule("components", 0.0, least),),
                separation=made,
            ).ravel()
        )[1:].tolist()
        for least in (60.0, 65.0)
    ]

    assert sizes == [[8, 8], []]


def test_seeds_by_distance_need_no_probabilities() -> None:
    label = np.zeros(GRID.shape, dtype=np.uint8)
    i, j = np.ogrid[:24, :12]
    label[
        ((i - 7) ** 2 + (j - 6) ** 2 <= 25) | ((i - 16) ** 2 + (j - 6) ** 2 <= 25)
    ] = 1

    found = number_instances(
        label,
        None,
        grid=GRID,
        values=(1,),
        rules=(rule("distance", 6.0),),
        separation=None,
    )

    assert found.max() == 2


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ([("probability", 0.6, 8.0), ("probability", 0.8, 16.0)], (0.7, 12.0)),
        (
            [("distance", 3.0, 9.0), ("probability", 0.5, 8.0)] * 1
            + [("probability", 0.9, 4.0)],
            (0.7, 6.0),
        ),
    ],
)
def test_folds_have_the_seeds_of_most_and_the_mean_of_their_numbers(
    chosen: list[tuple[str, float, float]], expected: tuple[float, float]
) -> None:
    (found,) = combine_instance_rules([(rule(*numbers),) for numbers in chosen])

    assert found.seeds == "probability"
    assert (found.threshold, found.smallest_mm3) == pytest.approx(expected)
    assert combine_instance_rules([(found,), ()]) == ()


def test_a_rule_says_what_it_does() -> None:
    assert rule("probability", 0.7, 20.0).words("px") == (
        "watershed from seeds above 0.70, of at least 20 voxels"
    )
    assert rule("distance", 2.5).words("mm") == "watershed from seeds 2.5 mm apart"
    assert WHOLE.words("mm") == "connected components"


def rebuilt(ids: np.ndarray, spacing: Spacing, threshold: float) -> np.ndarray:
    """The instances that a network finds which learned the levels without an error."""
    label = (ids > 0).astype(np.int16)
    levels = distance_levels(label, ids, spacing=spacing, dimensions=3)
    outputs = Outputs(Legend(("background", "cell"), (0, 1), None), "distance")
    encoded = outputs.encode(learned_levels(label, levels))
    shares = torch.from_numpy(encoded)[None]
    classes = outputs.decode(shares)
    found = number_instances(
        classes[0].numpy(),
        outputs.inside(shares, classes)[0].numpy(),
        grid=Grid.from_spacing(label.shape, spacing, "mm"),
        values=(1,),
        rules=(rule("depth", threshold),),
        separation=None,
    )
    assert ((found > 0) == (label > 0)).all()
    return found


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 1.0, 2.0)])
def test_touching_balls_of_two_sizes_are_rebuilt_to_the_voxel(
    threshold: float, spacing: Spacing
) -> None:
    i, j, k = (
        axis * step for axis, step in zip(np.ogrid[:40, :24, :24], spacing, strict=True)
    )
    ids = np.zeros((40, 24, 24), dtype=np.int32)
    ids[(i - 12) ** 2 + (j - 12) ** 2 + (k - 20) ** 2 <= 10**2] = 7
    ids[((i - 28) ** 2 + (j - 12) ** 2 + (k - 20) ** 2 <= 7**2) & (ids == 0)] = 4

    found = rebuilt(ids, spacing, threshold)

    match = match_instances(ids, found)
    assert found.max() == 2
    assert match.mean_iou == 1


def drawn_nuclei(root: Path, name: str) -> Iterator[tuple[np.ndarray, Spacing]]:
    """Ids of some images, or of a volume, and their spacing."""
    if name == "2d_dsb2018":
        for file in sorted((root / name / "labels").glob("*.png"))[::16]:
            yield read_label(file).array.astype(np.int32), (1.0, 1.0, 1.0)
        return
    with h5py.File(root / name / "images" / "1135_mini.h5") as file:
        yield file["label"][...].astype(np.int32), (0.284, 0.127, 0.127)


@pytest.mark.parametrize("name", ["2d_dsb2018", "3d_plantseg_nuclei"])
def test_drawn_nuclei_come_back_from_their_levels(name: str) -> None:
    if "SEGPIPE_REAL_DATA" not in os.environ:
        pytest.skip(f"SEGPIPE_REAL_DATA is not set; {name} lies there")
    root = Path(os.environ["SEGPIPE_REAL_DATA"])
    overlaps = [
        overlap_instances(ids, rebuilt(ids, spacing, 0.3))
        for ids, spacing in drawn_nuclei(root, name)
    ]

    assert sum(one.n_reference for one in overlaps) > 20
    assert average_precision(overlaps) >= 0.99
