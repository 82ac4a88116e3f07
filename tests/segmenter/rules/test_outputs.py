"""What channels mean: labels, depths and entropies of known probabilities."""

import math

import numpy as np
import pytest
import torch

from segpipe.images.instances import LEVELS
from segpipe.images.values import Legend
from segpipe.segmenter.rules.outputs import Outputs
from tests.support.segmenters import TUMOUR, make_plan


def by_nnunets_rule(shares: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """``convert_probabilities_to_segmentation`` of nnU-Net v2, voxel by voxel."""
    written = np.zeros(shares.shape[1:], np.int64)
    for place in np.ndindex(*written.shape):
        for share, value in zip(shares[(slice(None), *place)], order, strict=True):
            if share > 0.5:
                written[place] = value
    return written


def contact_of(legend: Legend) -> Outputs:
    return Outputs(legend, "contact")


THREE = Legend(("background", "cell", "nucleus"), (0, 2, 5), None)


def test_structures_that_overlap_are_written_in_their_order() -> None:
    plan = make_plan(**TUMOUR)
    shares = np.random.default_rng(0).random((3, 4, 5, 6)).astype(np.float32)
    shares[0, 0, 0, 0] = 0.5  # not above 1/2

    classes = Outputs(plan.legend).decode(torch.from_numpy(shares)[None])[0]

    written = np.array(plan.values)[classes.numpy()]
    assert (written == by_nnunets_rule(shares, (1, 2, 4))).all()


def test_labels_of_exclusive_classes_are_a_partition() -> None:
    """Each pixel has one class, the likeliest, whether by logits or by softmax.

    Seeds: T1.
    """
    outputs = Outputs(make_plan().legend)
    logits = torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0))

    found = outputs.decode(outputs.activate(logits)).numpy()

    regions = [found == number for number in range(3)]
    assert found.shape == (2, 4, 5, 6)
    assert (sum(region.astype(int) for region in regions) == 1).all()
    assert (found == logits.numpy().argmax(1)).all()
    assert all(region.any() for region in regions)


@pytest.mark.parametrize("kind", [{}, TUMOUR])
def test_a_label_map_is_what_its_own_probabilities_say(kind) -> None:
    outputs = Outputs(make_plan(**kind).legend)
    classes = np.random.default_rng(0).integers(-1, outputs.classes, (4, 5, 6))

    shares = outputs.encode(classes)
    back = outputs.decode(torch.from_numpy(shares)[None])[0].numpy()

    assert shares.shape == (3, 4, 5, 6)  # two structures and background, or three
    assert (back == np.maximum(classes, 0)).all()
    assert not shares[:, classes < 0].any()


@pytest.mark.parametrize("kind", [{}, TUMOUR])
def test_the_entropy_is_0_for_the_certain_and_1_for_the_undecided(kind) -> None:
    outputs = Outputs(make_plan(**kind).legend)
    logits = torch.zeros(1, 3, 2, 1, 1)
    logits[0, :, 1, 0, 0] = torch.tensor([90.0, -90.0, -90.0])

    found = outputs.entropy(outputs.activate(logits)).ravel().tolist()

    assert found == pytest.approx([1, 0], abs=1e-6)


def test_the_entropy_of_levels_is_that_of_their_structure() -> None:
    """A voxel that is surely inside, at no level in particular, is certain."""
    outputs = Outputs(make_plan().legend, "distance")
    shares = torch.zeros(1, outputs.channels, 2, 1, 1)
    shares[0, 1 : 1 + LEVELS, 0] = 1 / LEVELS
    shares[0, 0, 1], shares[0, 1 : 1 + LEVELS, 1] = 0.5, 0.5 / LEVELS

    found = outputs.entropy(shares).ravel().tolist()

    assert found == pytest.approx([0, math.log(2) / math.log(3)], abs=1e-6)


def test_contact_counts_for_the_likeliest_structure() -> None:
    """Four voxels: .3 + .3 > .4; a line of .8; .2 + .25 < .55; the nucleus leads."""
    outputs = contact_of(THREE)
    shares = torch.tensor(
        [
            [0.4, 0.3, 0.0, 0.3],
            [0.1, 0.06, 0.04, 0.8],
            [0.55, 0.2, 0.0, 0.25],
            [0.2, 0.1, 0.6, 0.1],
        ]
    ).T[None, :, None, None]

    classes = outputs.decode(shares)
    inside = outputs.inside(shares, classes)

    assert outputs.channels == 4
    assert outputs.line == 3
    assert classes.flatten().tolist() == [1, 1, 0, 2]
    assert inside.flatten().tolist() == pytest.approx([0.3, 0.06, 0, 0.6])
    assert len(outputs.of_structures(shares[0].numpy())) == 2


def test_levels_add_up_to_their_structure_and_to_its_depth() -> None:
    """Three voxels: .1 to each level of a cell; a deep nucleus; mostly background."""
    outputs = Outputs(THREE, "distance")
    cell, nucleus = [0.1] * 5, [0.0, 0.0, 0.0, 0.0, 0.9]
    shares = torch.tensor(
        [
            [0.4, *cell, 0.1, 0, 0, 0, 0],
            [0.1, *[0.0] * 5, *nucleus],
            [0.6, *[0.02] * 5, *[0.06] * 5],
        ]
    ).T[None, :, None, None]

    classes = outputs.decode(shares)

    assert outputs.channels == 11
    assert outputs.line is None
    assert classes.flatten().tolist() == [1, 2, 0]
    depths = [0.1 * (0.2 + 0.4 + 0.6 + 0.8 + 1), 0.9, 0]
    assert outputs.inside(shares, classes).flatten().tolist() == pytest.approx(depths)
    sums = outputs.of_structures(shares[0].numpy())[:, 0, 0]
    assert sums == pytest.approx(np.array([[0.5, 0, 0.1], [0.1, 0.9, 0.3]]))
    target = np.arange(-1, 11).reshape(-1, 1, 1)
    one_hot = torch.from_numpy(outputs.encode(target))[None]
    assert outputs.decode(one_hot).flatten().tolist() == [0, 0, *[1] * 5, *[2] * 5]
