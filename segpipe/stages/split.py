"""split: choose the test set and the folds by patient."""

import logging
from collections import defaultdict

from segpipe.dataset.case import read_cases
from segpipe.dataset.split import Fold, Split, lock_file, split_file
from segpipe.planning.sides.assignment import (
    TEST,
    Side,
    SplitParams,
    assign,
    find_empty_side,
    hashed_share,
    mend_of_empty_side,
)
from segpipe.planning.sides.given import check_given, sides_in_patients, sides_in_splits
from segpipe.planning.sides.kept import find_known_sides, keep_sides, read_kept_sides
from segpipe.planning.sides.patients import (
    find_copies,
    find_traits,
    read_groups,
    refuse_derived,
)
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths

log = logging.getLogger(__name__)


def run(params: SplitParams, *, paths: Paths) -> None:
    """Write the split to artifacts/split, and the side of each patient to split.lock.

    All cases of a patient are on one side. Patients in split.lock keep their side. New
    ones are assigned so that the sizes of the sides are those of the params, and that
    each structure, each site (column ``site`` of patients.csv) and each value of the
    columns ``groups`` is on as many sides as it can be. Sides that data/splits.csv
    (columns patient and side: ``test`` or the number of a fold) or a column ``side`` of
    patients.csv gives come before all others. Patients whose images hold the same
    voxels are on one side. A patient with a case that is a corrected segmentation
    (column ``derived_from``) is never tested. With a test_fraction of 0 only given and
    kept sides test.

    Raises:
        DataError: If the given sides contradict each other or the cases, or put copies
            on different sides; if a side is empty; if split.lock is damaged or lost; if
            a tested patient has a corrected segmentation.
    """
    cases = read_cases(paths.artifacts).cases
    groups = read_groups(cases, params.groups, paths)
    of_patient = defaultdict(list)
    for case in cases:
        of_patient[case.patient].append(case.name)
    first = find_copies(cases)
    given = [*sides_in_patients(paths.data, cases), *sides_in_splits(paths.data)]
    n_folds = params.n_folds
    fixed = check_given(given, first, n_folds)
    kept = read_kept_sides(params, first, cases, paths)
    known = find_known_sides(first, fixed, kept)
    derived = {case.patient for case in cases if case.is_derived}
    for patient in sorted(derived):
        leader = first[patient]
        known.setdefault(
            leader, int(hashed_share(params.seed, "fold", leader) * n_folds)
        )
    sides = assign(params, first, known, find_traits(cases, params.groups))
    refuse_derived(derived, sides, paths.data)
    empty = find_empty_side(sides, params)
    if empty is not None:
        mend = mend_of_empty_side(params, first, given=bool(fixed), kept=bool(kept))
        raise DataError(
            f"{paths.params}, split: expected patients on every side, found none of "
            f"{len(of_patient)} in {empty}; {mend}"
        )

    def members(*wanted: Side) -> tuple[str, ...]:
        chosen = [name for name, side in sides.items() if side in wanted]
        return tuple(sorted(case for name in chosen for case in of_patient[name]))

    numbers = range(params.n_folds)
    folds = tuple(
        Fold(training=members(*(m for m in numbers if m != n)), validation=members(n))
        for n in numbers
    )
    keep_sides(params, kept, sides, lock_file(paths.root))
    document = Split(format_version=1, test=members(TEST), folds=folds, groups=groups)
    document.write(split_file(paths.artifacts))
    log.info(
        "split %d patients, %d cases: %d cases to test, %s to validate",
        len(of_patient),
        len(cases),
        len(members(TEST)),
        " + ".join(str(len(fold.validation)) for fold in folds),
    )
