"""Panels say in words what they show, and stay below a size."""

import re

import numpy as np
import pytest

from segpipe.evaluation.report.pictures import panels
from segpipe.evaluation.report.pictures.panels import ShownCase, build_panels
from segpipe.evaluation.report.pictures.planes import Exhibit
from tests.support.plots import make_photo, make_volume


def shown(exhibit: Exhibit, title: str = "Worst case: case 02") -> ShownCase:
    dice = {one.name: 0.25 for one in exhibit.structures}
    return ShownCase("worst", title, exhibit, {"a": dice})


def test_each_picture_says_case_plane_model_and_dice() -> None:
    (html,) = build_panels([shown(make_volume())])

    words = re.findall(r'role="img" aria-label="([^"]+)"', html.replace("\n ", " "))
    assert len(words) == 6  # image, reference and model of two planes
    assert all("Worst case: case 02: " in one for one in words)
    assert "axial plane, slice 7 of 12 (k = 6)" in words[0]
    assert "dashed contours of the reference" in words[1]
    assert "solid contours of a (found 1.25 ml)" in words[2]
    assert words[2].endswith("Dice structure 1 0.250")
    assert "a: found 1.25 ml, Dice 0.250" in html
    assert "A note." in html


def test_a_prediction_that_found_nothing_says_so_in_and_below_the_picture() -> None:
    (html,) = build_panels([shown(make_volume(found=False))])

    assert re.search(r'data-empty="\[0, 1, 2, 3, 4\]">\s*nothing found</span>', html)
    assert "<p>a: nothing found, Dice 0.250</p>" in html
    assert "nothing found" not in build_panels([shown(make_volume())])[0]


def test_a_legend_has_all_structures_with_their_sizes() -> None:
    (html,) = build_panels([shown(make_volume(40))])

    rows = re.findall(r"<tr><td>.*?</tr>", html, re.DOTALL)
    assert len(rows) == 40
    assert "40 structure 40" in rows[-1]
    assert "<td>1.5</td>" in rows[-1]
    assert "1.25 · 0.250" in rows[-1]
    assert ">40</text>" in html


def test_instances_are_counted_and_a_photo_has_no_sides() -> None:
    (html,) = build_panels([shown(make_photo(instances=True))])

    assert "(n = 2)" in html
    assert "(n = 1)" in html
    assert 'class="edge0"' not in html
    assert "px²" in html


def test_names_cannot_become_markup() -> None:
    exhibit = make_volume()
    exhibit.structures[0] = exhibit.structures[0].__class__(
        "<em>", 1, exhibit.structures[0].sizes
    )
    (html,) = build_panels([shown(exhibit, "<script>'\"")])

    assert "<em>" not in html
    assert "<script>" not in html


def test_all_panels_together_stay_below_the_largest_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cases = [shown(make_volume(6)) for _ in range(2)]
    whole = sum(map(len, build_panels(cases)))
    frame = sum(map(len, build_panels([shown(make_volume())]))) // 2
    monkeypatch.setattr(panels, "LARGEST_PAGE", whole // 2)

    assert sum(map(len, build_panels(cases))) < whole * 0.75 + frame


def test_a_case_without_dice_is_shown() -> None:
    case = shown(make_volume())
    case.dice["a"]["structure 1"] = float(np.nan)

    assert "Dice \N{EN DASH}" in build_panels([case])[0]
