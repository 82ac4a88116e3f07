"""A few annotated slices of a volume separate its nuclei: counted as instances.

Source:
    Çiçek 2016, arXiv:1606.06650, section 3 (semi-automated), on data that it did not
    use; touching nuclei are separated as in Ronneberger 2015, arXiv:1505.04597.
"""

from typing import Any

import numpy as np

from experiments.hiding import NOT_ANNOTATED, densify_trial, run_sparse
from experiments.pages import lines, save_plot, write_page
from experiments.trials import (
    ONE_PROCESS,
    PAIRS,
    Figures,
    Found,
    Trial,
    changed,
    import_whole,
    parse_arguments,
    read_sections,
)
from segpipe.dataset.case import read_cases
from segpipe.dataset.case_files import read_case_instances
from segpipe.evaluation.matching import match_instances
from segpipe.evaluation.measures.metrics import dice
from segpipe.images.borders import separate_touching
from segpipe.images.formats.files import read_label
from segpipe.images.instances import components
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute
from segpipe.stages import verify
from segpipe.tools.importing.conversion import ImportOptions

OPTIONS = ImportOptions(images="images", instances=True, structures={"nucleus": 1})
SLICES = (2, 4, 8)  # in each of the three directions
CHANGES: dict[str, Any] = {
    **ONE_PROCESS,
    "weigh": {"workers": 1, "separate_touching": True},
    "train": {
        "base_channels": 8,
        "loss": {"name": "cross_entropy"},
        "patch_size": [48, 48, 48],
        "augmentation": {"flip": True},
        "epochs": 4,
        "steps_per_epoch": 50,
        "validation_interval": 2,
    },
}


def main() -> None:
    """Run the trials; write docs/experiments/sparse-instances.md."""
    given = parse_arguments(
        "sparse_instances", __doc__ or "", "~/sets/3d_plantseg_nuclei"
    )
    base = read_sections("hippocampus", "unet3d", CHANGES)
    whole = given.paths
    import_whole(given.data, whole.data, OPTIONS)
    verify.run(base.verify, networks={"trial": 3}, paths=whole)
    found: Found = {}
    series: dict[float, list[float]] = {}
    for slices in SLICES:
        arm = f"{slices} slices"
        trials = [
            Trial(arm, seed, changed(base, train={"seed": seed}))
            for seed in given.seeds
        ]
        found |= run_sparse(trials, compare, whole=whole, slices=slices)
        series[float(slices)] = [row["instance F1"] for row in found[arm]]
    write_page("sparse-instances", found)
    panel = lines(
        "nuclei", {"3D U-Net": series}, across="slices a direction", up="instance F1"
    )
    save_plot("sparse-instances", [panel])


def compare(trial: Trial, compute: Compute, paths: Paths, whole: Paths) -> Figures:
    """Densify; compare instances in the whole volume, Dice where nobody annotated.

    Drawn labels stay as drawn, where touching nuclei are one structure: there they are
    separated as in the training.
    """
    output = densify_trial(trial, compute, paths)
    cases = read_cases(whole.artifacts)
    (case,) = cases.cases
    assert case.instances is not None
    truth = read_case_instances(whole.data, cases, case)
    drawn = read_case_instances(paths.data, cases, case)
    assert truth is not None
    assert drawn is not None
    known = read_label(paths.data / case.label).array != NOT_ANNOTATED
    dense = read_label(output / f"{case.name}{cases.file_ending}").array == 1
    ids = drawn.array.astype(np.int32)
    line = (ids > 0) & (separate_touching(ids, dimensions=3) == 0)
    match = match_instances(
        truth.array.astype(np.int32), components(dense & ~line, connectivity="faces")
    )
    overlap = dice((truth.array > 0) & ~known, dense & ~known)
    return {
        "instance F1": match.f1,
        "merges": match.merges,
        "splits": match.splits,
        "found": match.n_predicted,
        "Dice": overlap,
        PAIRS: [(case.patient, overlap)],
    }


if __name__ == "__main__":
    main()
