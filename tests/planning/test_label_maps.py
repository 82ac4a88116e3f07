"""A spacing that costs structures too much is warned of."""

from pathlib import Path

import pytest

from segpipe.project.paths import Paths
from tests.support.planned import plan_of, write_ten_cases


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return write_ten_cases(tmp_path)


@pytest.mark.parametrize(
    ("spacing", "warned"), [((1.0, 1.0, 2.0), 0), ((4.0, 4.0, 4.0), 2)]
)
def test_a_spacing_too_coarse_for_a_structure_is_warned_of(
    spacing: tuple[float, float, float],
    warned: int,
    paths: Paths,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Balls of a radius of 3 voxels, in voxels of 4 x 4 x 2."""
    plan_of(paths, spacing=spacing)

    assert caplog.text.count("no network can reach more") == warned
    assert caplog.text.count("set plan.spacing finer") == warned
