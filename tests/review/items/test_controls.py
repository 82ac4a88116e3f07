"""A control differs from a good mask in every structure, whatever its shape."""

import numpy as np
import pytest

from segpipe.evaluation.measures.metrics import dice
from segpipe.images.values import Legend
from segpipe.review.dossier import Fault
from segpipe.review.items.controls import KINDS, make_control, shifted
from tests.support.phantoms import ball

LEGEND = Legend(("background", "left", "right"), (0, 3, 7), None)


def two(left: tuple[float, ...], right: tuple[float, ...]) -> np.ndarray:
    labels = np.zeros((48, 48, 48), np.int16)
    labels[ball(5, center=left)], labels[ball(5, center=right)] = 3, 7  # type: ignore[arg-type]
    return labels


MASKS = {
    "aside": two((8, 12, 12), (14, 30, 30)),
    "symmetric": np.where(ball(14), 3, 0),
    "full": np.full((48, 48, 48), 3),
    "flat": np.where(ball(9, shape=(64, 64, 1)), 3, 0),
    "voxel": np.where(ball(0.5, shape=(5, 5, 5)), 7, 0),
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("wanted", KINDS)
def test_each_structure_is_certain_to_be_wrong(name: str, wanted: Fault) -> None:
    labels = MASKS[name]
    control = make_control(labels, labels, LEGEND, wanted)

    assert control is not None
    assert control.refused
    for structure in control.refused:
        (value,) = LEGEND.values_of(structure)
        assert dice(labels == value, control.labels == value) <= 0.5


@pytest.mark.parametrize(
    ("name", "wanted", "made"),
    [
        ("aside", "mirrored", "mirrored"),
        ("symmetric", "mirrored", "shifted"),
        ("full", "mirrored", "emptied"),
        ("aside", "emptied", "emptied"),
    ],
)
def test_what_a_mask_does_not_allow_is_replaced(
    name: str, wanted: Fault, made: Fault
) -> None:
    control = make_control(MASKS[name], MASKS[name], LEGEND, wanted)

    assert control is not None
    assert control.fault == made


def test_a_reference_without_structures_makes_no_control() -> None:
    nothing = np.zeros((4, 4, 4), int)

    assert make_control(np.full((4, 4, 4), 3), nothing, LEGEND, "shifted") is None


def test_what_the_reference_says_is_wrong_and_not_what_the_mask_was() -> None:
    """The mask has left and right exchanged in place: mirrored, it would be right."""
    reference = two((8, 24, 24), (39, 24, 24))
    exchanged = reference[::-1]

    control = make_control(exchanged, reference, LEGEND, "mirrored")

    assert control is not None
    assert control.fault == "shifted"
    for value in (3, 7):
        assert (control.labels == value).any()
        assert dice(reference == value, control.labels == value) <= 0.5


@pytest.mark.parametrize("wanted", KINDS)
def test_of_a_mask_that_lacks_a_structure_only_an_empty_one_is_made(
    wanted: Fault,
) -> None:
    """A mask without it would be refused for what the model did, or be no mirror."""
    reference = MASKS["aside"]
    found = np.where(reference == 3, 3, 0)

    control = make_control(found, reference, LEGEND, wanted)

    assert control is not None
    assert control.fault == "emptied"
    assert not control.labels.any()
    assert control.refused == ("left", "right")


@pytest.mark.parametrize("steps", [2, -2])
def test_a_shifted_mask_is_moved_and_not_rolled(steps: int) -> None:
    labels = np.arange(1, 6).reshape(5, 1, 1)

    found = shifted(labels, steps, 0)[:, 0, 0].tolist()
    assert found == ([0, 0, 1, 2, 3] if steps > 0 else [3, 4, 5, 0, 0])
