"""Ten cases to plan for, and the plan of them."""

from pathlib import Path

import numpy as np

from segpipe.images.formats.nifti import read_image, read_label, write_image
from segpipe.project.paths import Paths
from segpipe.segmenter.plan import Plan, read_plan
from segpipe.stages import plan
from tests.support.phantoms import write_dataset
from tests.support.projects import PATIENTS, PLAN, TRAIN, changed, run_to_split

MODELS = {"m": TRAIN}


def write_ten_cases(folder: Path) -> Paths:
    """Verify and split ten cases in a folder."""
    paths = Paths(folder)
    write_dataset(paths.data, cases=10, patients=PATIENTS)
    run_to_split(paths)
    return paths


def plan_of(paths: Paths, **values: object) -> Plan:
    plan.run(changed(PLAN, **values), models=MODELS, paths=paths)
    return read_plan(paths.artifacts)


def hollow(paths: Paths, *, ball: float, spread: float = 0) -> None:
    """Set all but the structures of each case, and one voxel beside them, to -7.

    Args:
        paths: The project's folders.
        ball: Lowest value of all voxels of structures but one, which is 100.
        spread: Range of these values.
    """
    for number in range(10):
        file = paths.data / "imagesTr" / f"case_{number:02d}_0000.nii"
        image = read_image(file)
        label = read_label(paths.data / "labelsTr" / f"case_{number:02d}.nii")
        drawn = ball + spread * np.random.default_rng(0).random(label.array.shape)
        image.array[0] = np.where(label.array > 0, drawn, -7)
        place = tuple(np.argwhere(label.array == 1)[0])
        image.array[0][place] = 100
        write_image(file, image.array[0], image.grid)
