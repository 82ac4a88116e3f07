"""A ceiling is what a perfect network would get, and its cause is named."""

from typing import Any

import numpy as np
import pytest

from segpipe.dataset.split import read_split
from segpipe.evaluation import ceiling as module
from segpipe.evaluation.ceiling import Ceiling
from segpipe.evaluation.measures.metrics import dice
from segpipe.images.formats.nifti import read_label, write_label
from segpipe.images.volume import LabelMap
from segpipe.project.paths import Paths
from segpipe.segmenter.spec import SegmenterSpec
from segpipe.stages import plan
from segpipe.tools.ceiling import ceiling
from tests.support.phantoms import write_dataset
from tests.support.projects import (
    EVALUATE,
    PATIENTS,
    PLAN,
    TRAIN,
    WEIGH,
    changed,
    run_to_split,
)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Balls whose two halves are instances that touch along i."""
    paths = Paths(tmp_path_factory.mktemp("project"))
    write_dataset(paths.data, cases=10, patients=PATIENTS, structures=1, instances=True)
    for file in (paths.data / "instancesTr").iterdir():
        ids = read_label(file)
        middle = int(np.argwhere(ids.array > 0)[:, 0].mean())
        ids.array[middle + 1 :][ids.array[middle + 1 :] > 0] = 2
        write_label(file, ids.array, ids.grid)
    run_to_split(paths)
    return paths


def ceiling_of(
    paths: Paths, spacing: tuple[float, float, float], **weigh: object
) -> Ceiling:
    models = {"m": TRAIN}
    plan.run(changed(PLAN, spacing=spacing), models=models, paths=paths)
    (found,) = ceiling(
        models,
        folds=[0],
        weigh=changed(WEIGH, **weigh),
        evaluate=EVALUATE,
        paths=paths,
    )
    return found


def test_nothing_is_lost_on_the_own_grid_without_lines(paths: Paths) -> None:
    found = ceiling_of(paths, (1.0, 1.0, 2.0))

    assert found.dice == (1, 1, 1)
    assert found.structures == {"ball": 1}
    assert found.instance_f1 < 0.7  # of two halves, at most one is half of the ball
    assert found.merges == len(read_split(paths.artifacts).test)
    assert "merges of touching ones: lines separate them" in ("".join(found.lines()))


def test_a_line_costs_the_dice_of_its_voxels_and_no_instance(paths: Paths) -> None:
    found = ceiling_of(paths, (1.0, 1.0, 2.0), separate_touching=True)

    expected = []
    for name in read_split(paths.artifacts).test:
        ids = read_label(paths.data / "instancesTr" / f"{name}.nii").array
        last = np.argwhere(ids == 1)[:, 0].max()
        first = ids.copy()
        first[last : last + 2] = 0
        expected.append(dice(ids > 0, first > 0))
    assert found.dice[0] == 1
    assert found.dice[1] == found.dice[2] == pytest.approx(np.mean(expected), abs=0.02)
    assert found.instance_f1 == 1
    assert "limited by separating lines" in "".join(found.lines())


@pytest.mark.parametrize(("lines", "made"), [(False, 1), (True, 2)])
def test_no_label_map_is_made_twice(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, lines: bool, made: int
) -> None:
    """The report makes those of all models and test cases."""
    shapes = []
    whole = module.label_by_target

    def watched(spec: SegmenterSpec, target: np.ndarray, *rest: Any) -> LabelMap:
        shapes.append(target.shape)
        return whole(spec, target, *rest)

    monkeypatch.setattr(module, "label_by_target", watched)
    ceiling_of(paths, (1.0, 1.0, 2.0), separate_touching=lines)

    assert len(shapes) == made * len(read_split(paths.artifacts).test)


def test_a_coarse_grid_is_the_cause_that_is_named(paths: Paths) -> None:
    found = ceiling_of(paths, (4.0, 4.0, 4.0))

    assert found.dice[0] < 0.95
    assert found.dice[1:] == (found.dice[0],) * 2
    assert "limited by resampling: set plan.spacing finer" in "".join(found.lines())
