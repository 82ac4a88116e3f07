"""Hiding: make a dense data set sparse, as if only a few slices were annotated."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from experiments.trials import Figures, Found, Trial, run_trials
from segpipe.dataset.case import read_cases
from segpipe.dataset.case_files import read_case_instances, read_case_label
from segpipe.images.formats.files import write_label
from segpipe.project.documents import write_json
from segpipe.project.paths import Paths
from segpipe.segmenter.compute import Compute
from segpipe.stages.annotate import AnnotateParams, choose_voxels
from segpipe.tools.densify import DensifyParams, densify

NOT_ANNOTATED = 255


def hide(whole: Paths, sparse: Paths, slices: int) -> float:
    """Copy a data set and keep the annotation of only some slices.

    Args:
        whole: Verified project with the dense label maps.
        sparse: Project whose data/ is written.
        slices: Number of slices that stay annotated in each of the three directions,
            evenly spread.

    Returns:
        Share of the voxels that stay annotated.
    """
    shutil.rmtree(sparse.data, ignore_errors=True)
    shutil.copytree(whole.data, sparse.data)
    about = json.loads((whole.data / "dataset.json").read_text(encoding="utf-8"))
    about["labels"]["ignore"] = NOT_ANNOTATED
    write_json(sparse.data / "dataset.json", about)
    params = AnnotateParams(rule="evenly", slices=(slices,) * 3, seed=0)
    cases = read_cases(whole.artifacts)
    shares = []
    for case in cases.cases:
        label = read_case_label(whole.data, cases, case)
        seen = choose_voxels(label.array.astype(np.int16), params, case=case.name)
        sparsely = np.where(seen, label.array, NOT_ANNOTATED)
        write_label(sparse.data / case.label, sparsely, label.grid)
        shares.append(seen.mean())
        drawn = read_case_instances(whole.data, cases, case)
        if drawn is not None:
            assert case.instances is not None
            ids = np.where(seen, drawn.array, 0)
            write_label(sparse.data / case.instances, ids, label.grid)
    return float(np.mean(shares))


def densify_trial(trial: Trial, compute: Compute, paths: Paths) -> Path:
    """Densify a sparse project as `segpipe densify` does; returns the new folder."""
    sections = trial.sections
    params = DensifyParams(
        verify=sections.verify,
        plan=sections.plan,
        preprocess=sections.preprocess,
        weigh=sections.weigh,
        train=sections.train,
        predict=sections.predict,
    )
    output = paths.root / "dense" / trial.name
    shutil.rmtree(output, ignore_errors=True)
    densify(params, output, model=trial.name, compute=compute, paths=paths)
    return output


def run_sparse(
    trials: Sequence[Trial],
    compare: Callable[[Trial, Compute, Paths, Paths], Figures],
    *,
    whole: Paths,
    slices: int,
) -> Found:
    """Hide all but some slices, then run trials on the remaining annotation.

    Args:
        trials: The trials to run.
        compare: Densifies the sparse project, which comes before the dense one in its
            arguments, and compares the two.
        whole: Verified project with the dense label maps.
        slices: Number of slices that stay annotated in each direction.
    """
    sparse = Paths(whole.root / f"{slices}-slices")
    share = hide(whole, sparse, slices)

    def work(trial: Trial, compute: Compute) -> Figures:
        return {"annotated %": 100 * share, **compare(trial, compute, sparse, whole)}

    return run_trials(trials, work, paths=sparse)
