"""The picture shows where masks differ, and a wild one does not decide alone."""

import numpy as np

from segpipe.images.grid import Grid
from segpipe.images.values import Legend
from segpipe.images.volume import Image
from segpipe.review.items.montage import build_montage, most_different, plot_montage
from tests.support.phantoms import ball

GRID = Grid.from_spacing((48, 48, 48), (1.0, 1.0, 1.0), "mm")
LEGEND = Legend(("background", "ball"), (0, 3), None)


def test_it_shows_the_slice_of_the_difference_beside_a_wild_mask() -> None:
    first = ball(9, center=(12, 20, 30)).astype(int)
    second = first.copy()
    second[10:14, 18:22, 33] = 1 - second[10:14, 18:22, 33]
    wild = np.ones_like(first)

    assert most_different([first, second])[2] == 33
    assert most_different([first, second, wild])[2] == 33
    assert most_different([first, first]) == (12, 20, 30)
    assert most_different([first * 0]) == (24, 24, 24)


def test_a_column_stands_for_each_letter_and_only_the_id_is_named() -> None:
    mask = np.where(ball(9), 3, 0)
    image = Image(np.random.default_rng(0).random((1, 48, 48, 48), np.float32), GRID)
    shown = build_montage(image, {"B": mask, "A": mask * 0}, LEGEND, channels=["MR"])

    assert shown.views[0].columns == ["image", "A", "B"]
    assert shown.found("A") == "nothing found"
    assert shown.structures[0].sizes["B"] * 1000 == (mask > 0).sum()
    assert plot_montage("abcd", shown).startswith(b"\x89PNG")
