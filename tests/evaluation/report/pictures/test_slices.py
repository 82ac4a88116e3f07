"""Slices: as many as fit, without loss, and at a lower resolution only beyond that."""

import base64
import re

import numpy as np

from segpipe.evaluation.report.pictures.planes import View
from segpipe.evaluation.report.pictures.slices import SLICES, encode_slices
from tests.support.plots import make_exhibit, make_volume, pixels


def images(defs: list[str]) -> list[np.ndarray]:
    found = re.findall(r"base64,([^\"]+)", "".join(defs))
    return [pixels(base64.b64decode(one)) for one in found]


def test_a_slice_is_kept_without_loss() -> None:
    exhibit = make_volume()
    view = exhibit.views[0]

    kept, defs, step = encode_slices(exhibit, view, "worst0", 10**6)

    assert (kept, step) == ([0, 1, 2, 3, 4], 1)
    for number, image in zip(kept, images(defs), strict=True):
        np.testing.assert_array_equal(image[..., 0], view.grey(number))
    assert re.findall(r'id="([^"]+)"', defs[1]) == [
        f"worst0-1{part}" for part in ("", "r", "rt", "m0", "m0t")
    ]


def test_what_does_not_fit_are_the_slices_far_from_the_chosen_one() -> None:
    exhibit = make_volume()
    view = exhibit.views[0]
    sizes = [len(one) for one in encode_slices(exhibit, view, "worst0", 10**6)[1]]
    budget = sum(sizes[1:4])

    kept, defs, step = encode_slices(exhibit, view, "worst0", budget)

    assert (kept, step) == ([1, 2, 3], 1)
    assert sum(map(len, defs)) == budget


def test_a_large_slice_alone_is_drawn_coarser_until_it_fits() -> None:
    rng = np.random.default_rng(0)
    image = rng.uniform(size=(1, 90, 60))
    regions = (rng.uniform(size=(1, 90, 60)) > 0.5).astype(np.int32)
    view = View("", image, (0.0, 1.0), regions, {"a": regions}, (1.0, 1.0), "px")
    exhibit = make_exhibit(view)

    whole, coarse = (encode_slices(exhibit, view, "a", n) for n in (10**8, 15_000))

    assert whole[2] == 1 < coarse[2]
    assert len(coarse[1][0]) <= 15_000 < len(whole[1][0])
    assert images(coarse[1])[0].shape[0] == -(-90 // coarse[2])


def test_a_long_volume_is_cut_around_the_chosen_slice() -> None:
    array = np.zeros((100, 4, 4), dtype=np.int32)
    places = range(100)
    view = View(
        "axial", array * 1.0, (0.0, 1.0), array, {}, (1.0, 1.0), "mm", 97, places, 100
    )

    kept, _, _ = encode_slices(make_exhibit(view), view, "a", 10**8)

    assert kept == list(range(100 - SLICES, 100))
