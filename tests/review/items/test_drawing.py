"""Controls and repeats look like other items, and come of the right cases."""

from collections import Counter

import pytest

from segpipe.project.errors import DataError
from segpipe.review.items.drawing import draw_items
from segpipe.review.items.selection import Chosen

CHOSEN = [Chosen(f"c{n}", "worst" if n < 5 else "random", n + 1) for n in range(20)]


def test_a_dossier_has_all_strata() -> None:
    drawn = draw_items(
        CHOSEN, repeats_fraction=0.1, controls=3, drawn_on=["c1", "x", "y", "z"]
    )

    strata = Counter(one.stratum for one in drawn)
    assert strata == {"worst": 5, "random": 15, "repeat": 2, "control": 3}
    assert {one.case for one in drawn if one.fault} == {"x", "y", "z"}
    assert len({one.fault for one in drawn if one.fault}) == 3
    by_id = {one.id: one for one in drawn}
    assert len(by_id) == 25
    for one in drawn:
        if one.repeats:
            assert one.case == by_id[one.repeats].case
            assert by_id[one.repeats].fault is None


def test_without_a_drawn_structure_there_is_no_control() -> None:
    with pytest.raises(DataError, match="controls: 0"):
        draw_items(CHOSEN, repeats_fraction=0.0, controls=1, drawn_on=[])
    assert len(draw_items(CHOSEN, repeats_fraction=0.0, controls=0, drawn_on=[])) == 20
