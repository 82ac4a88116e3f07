"""Normalizations are one a channel, and fit the params."""

from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from tests.support.planned import plan_of, write_ten_cases


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return write_ten_cases(tmp_path)


def test_percentiles_stand_in_the_plan(paths: Paths) -> None:
    """Nothing else of the cases does, so a new one leaves the plan as it is."""
    found = plan_of(paths, normalization="percentile", percentiles=(2.0, 99.0))

    how = found.normalization[0]
    assert (how.kind, how.low, how.high, how.mean) == ("percentile", 2, 99, 0)
    assert found.region is None
    assert "polarity" not in found.model_dump(mode="json")
    turned = plan_of(paths, normalization=("percentile",), polarity="light_on_dark")
    assert turned.polarity == "light_on_dark"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"polarity": "light_on_dark"}, "plan.polarity: expected as_is without"),
        ({"percentiles": (99.0, 1.0)}, "found 99 and 1"),
    ],
)
def test_percentiles_and_polarity_fit_together(paths: Paths, values, words) -> None:
    with pytest.raises(DataError, match=words):
        plan_of(paths, **values)


def test_normalizations_are_one_a_channel(paths: Paths) -> None:
    with pytest.raises(
        DataError, match=r"normalization: expected one for each channel"
    ):
        plan_of(paths, normalization=("none", "ct"))


def test_ct_is_known_by_its_channels_name(paths: Paths) -> None:
    assert plan_of(paths).normalization[0].kind == "zscore"
    file = paths.artifacts / "verify" / "cases.json"
    file.write_text(file.read_text().replace('"intensity"', '"CT"'))

    found = plan_of(paths).normalization[0]
    assert found.kind == "ct"
    assert found.low < found.mean < found.high
