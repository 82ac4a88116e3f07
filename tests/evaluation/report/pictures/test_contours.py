"""Contours: where regions end, with contrast on any image and for any eye."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.path import Path as Polygon

from segpipe.evaluation.report.pictures.contours import (
    BORDER,
    COLOURS,
    OVER,
    colour_of,
    middles,
    outlines,
    svg_path,
)
from tests.support.phantoms import ball

# Complete deficiency of each kind: Machado 2009, doi:10.1109/TVCG.2009.113.
EYES = {
    "usual": np.eye(3),
    "protan": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deutan": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritan": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def linear(colour: str, eye: str = "usual") -> np.ndarray:
    """Linear red, green and blue as an eye sees it."""
    rgb = np.array(to_rgb(colour))
    light = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.clip(EYES[eye] @ light, 0, 1)


def contrast(one: str, other: str, eye: str) -> float:
    """Contrast ratio of WCAG 2.2."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    low, high = sorted(float(linear(colour, eye) @ weights) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("colour", [*COLOURS, OVER])
def test_a_line_has_contrast_to_its_border_and_so_on_any_image(
    colour: str, eye: str
) -> None:
    """WCAG 2.2, 1.4.11: at least 3 to 1 for what is no text."""
    assert contrast(colour, BORDER, eye) >= 3


@pytest.mark.parametrize("eye", EYES)
def test_neighbouring_colours_differ_for_every_eye(eye: str) -> None:
    pairs = itertools.pairwise([*COLOURS[1:], COLOURS[1]])

    for one, other in pairs:
        assert np.abs(linear(one, eye) - linear(other, eye)).max() > 0.1


def test_colours_repeat_after_seven() -> None:
    assert len(set(COLOURS)) == 7
    assert colour_of(1) == colour_of(8) != colour_of(2)


def test_a_line_goes_between_the_pixels_inside_and_outside() -> None:
    regions = np.zeros((40, 50), dtype=np.int32)
    regions[ball(9, shape=(40, 50, 1), center=(20, 15, 0))[..., 0]] = 3
    regions[30:36, 40:50] = 70  # at the edge

    found = dict(outlines(regions))

    assert set(found) == {3, 70}
    rows, columns = np.indices(regions.shape)
    centres = np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], axis=1)
    for number, (line,) in found.items():
        inside = Polygon(line).contains_points(centres).reshape(regions.shape)
        np.testing.assert_array_equal(inside, regions == number)


def test_holes_and_parts_have_lines_of_their_own() -> None:
    regions = np.zeros((20, 20), dtype=np.int32)
    regions[2:12, 2:12] = 1
    regions[5:8, 5:8] = 0
    regions[15:17, 15:17] = 1

    ((_, lines),) = outlines(regions)

    assert len(lines) == 3


def test_nothing_has_no_line_and_all_of_an_image_has_one() -> None:
    assert list(outlines(np.zeros((4, 4), dtype=np.int32))) == []
    ((number, lines),) = outlines(np.full((4, 4), 5))
    assert (number, len(lines)) == (5, 1)


def test_the_middle_lies_deepest_inside() -> None:
    regions = np.zeros((30, 30), dtype=np.int32)
    regions[4:15, 6:17] = 2
    regions[9, 17:29] = 2  # a thin tail does not draw it away

    assert list(middles(regions)) == [(2, (11.5, 9.5))]


def test_a_path_of_svg_has_the_same_points() -> None:
    ((_, lines),) = outlines(np.pad(np.ones((1, 2), dtype=int), 1))

    path = svg_path(lines)

    assert path.startswith("M")
    assert path.endswith("z")
    start, steps = path[1:-1].split("l")
    moves = np.array(steps.split(), dtype=int).reshape(-1, 2)
    points = np.cumsum([np.array(start.split(), dtype=int), *moves], axis=0) / 2
    np.testing.assert_array_equal(points, lines[0][:-1])
