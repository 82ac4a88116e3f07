"""A patient stands on one side, and stays there."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from segpipe.dataset.case import Case, CaseList
from segpipe.dataset.split import Split, read_split, split_file
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import split
from tests.support.projects import SPLIT, changed

MANY = [f"patient_{n}" for n in range(60)]
OLD_TEST = ["1-0", "7-0"]
OLD_FOLD = ["0-0", "11-0", "2-0", "4-0", "5-0", "6-0", "8-0"]
PARAMS = changed(SPLIT, test_fraction=0.2, n_folds=5)


def write_cases(
    paths: Paths,
    patients: list[str],
    *,
    studies: int = 2,
    digests: Mapping[str, str] = MappingProxyType({}),
    attributes: Mapping[str, dict[str, str]] = MappingProxyType({}),
) -> None:
    cases = tuple(
        Case(
            name=f"{patient}-{study}",
            patient=patient,
            images=("a.nii",),
            label="b.nii",
            instances=None,
            shape=(2, 2, 2),
            spacing=(1.0, 1.0, 1.0),
            attributes=attributes.get(patient, {}),
            warnings=(),
            digest=digests.get(f"{patient}-{study}"),
        )
        for patient in patients
        for study in range(studies)
    )
    CaseList(
        format_version=1,
        dimensions=3,
        unit="mm",
        spacing_mm=None,
        file_ending=".nii",
        channels=("x",),
        labels={"background": 0, "a": 1},
        ignore=None,
        cases=cases,
    ).write(paths.artifacts / "verify" / "cases.json")


def split_of(paths: Paths, params: split.SplitParams = PARAMS) -> Split:
    split.run(params, paths=paths)
    return read_split(paths.artifacts)


def sides(found: Split) -> dict[str, str]:
    """Case to side."""
    side = dict.fromkeys(found.test, "test")
    for number, fold in enumerate(found.folds):
        side |= dict.fromkeys(fold.validation, str(number))
    return side


def test_every_patient_stands_on_one_side(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY)
    found = split_of(paths)

    side = sides(found)
    assert len(side) == 120
    assert all(side[f"{patient}-0"] == side[f"{patient}-1"] for patient in MANY)
    for fold in found.folds:
        parts = [set(fold.training), set(fold.validation), set(found.test)]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 120
    assert len(found.test) == 24


def test_new_patients_move_nobody(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY[:40])
    before = sides(split_of(paths))
    write_cases(paths, MANY)
    after = sides(split_of(paths))

    assert before.items() <= after.items()


def test_another_seed_is_another_split(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY)
    first, second = (
        sides(split_of(paths, changed(PARAMS, seed=seed))) for seed in (1, 2)
    )

    assert first != second


def test_splits_csv_overrides(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY)
    paths.data.mkdir()
    text = "patient,side\n" + "".join(f"{p},test\n" for p in MANY[:30])
    (paths.data / "splits.csv").write_text(text + "patient_30,3\n")
    side = sides(split_of(paths))

    assert {side[f"{patient}-1"] for patient in MANY[:30]} == {"test"}
    assert side["patient_30-0"] == "3"


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ("patient_1,test\npatient_1,0\n", "line 3: expected one side a patient"),
        ("nobody,test\n", "line 2: expected a known patient, found nobody"),
        ("patient_1,9\n", "a fold below 5, found 9"),
        ("patient_1,train\n", "found train"),
    ],
)
def test_a_contradiction_in_splits_csv_is_refused(
    rows: str, fault: str, tmp_path: Path
) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY)
    paths.data.mkdir()
    (paths.data / "splits.csv").write_text("patient,side\n" + rows)

    with pytest.raises(DataError, match=fault):
        split.run(PARAMS, paths=paths)


# patient_7 has a scan of patient_3 and one of patient_50: all three belong together.
COPIES = {
    "patient_3-0": "a",
    "patient_7-0": "a",
    "patient_7-1": "b",
    "patient_50-1": "b",
    "patient_9-0": "c",
}


@pytest.mark.parametrize("seed", range(20))
def test_copies_under_other_names_stand_on_one_side(seed: int, tmp_path: Path) -> None:
    """Three patients share a side by chance with one in 20, and all 20 seeds do."""
    paths, params = Paths(tmp_path), changed(PARAMS, seed=seed)
    write_cases(paths, MANY)
    apart = sides(split_of(paths, params))
    write_cases(paths, MANY, digests=COPIES)
    together = sides(split_of(paths, params))

    one = {together[f"patient_{n}-{study}"] for n in (3, 7, 50) for study in (0, 1)}
    assert one == {apart["patient_3-0"]}
    others = {case for case in apart if case.split("-")[0][8:] not in ("3", "7", "50")}
    assert {case: together[case] for case in others} == {
        case: apart[case] for case in others
    }


def test_copies_follow_the_one_that_splits_csv_names(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY, digests=COPIES)
    paths.data.mkdir()
    (paths.data / "splits.csv").write_text("patient,side\npatient_50,3\n")
    side = sides(split_of(paths))

    assert {side[f"patient_{n}-0"] for n in (3, 7, 50)} == {"3"}


def test_copies_that_splits_csv_puts_on_two_sides_are_refused(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY, digests=COPIES)
    paths.data.mkdir()
    file = paths.data / "splits.csv"
    file.write_text("patient,side\npatient_3,test\npatient_50,3\n")

    with pytest.raises(
        DataError, match=r"line 3: .* on test, the side of patient_3 .*, found 3; write"
    ):
        split.run(PARAMS, paths=paths)
    file.write_text("patient,side\npatient_3,test\npatient_50,test\n")
    assert sides(split_of(paths))["patient_7-1"] == "test"


@pytest.mark.parametrize("n_folds", [2, 4, 5])
@pytest.mark.parametrize("count", [3, 4, 6, 8, 10, 20, 61])
@pytest.mark.parametrize("seed", range(3))
def test_sizes_are_those_of_the_params(
    count: int, n_folds: int, seed: int, tmp_path: Path
) -> None:
    """No side is empty, folds differ by one at most, the test set by one patient."""
    if count <= n_folds:
        return
    paths = Paths(tmp_path)
    write_cases(paths, [f"patient_{n}" for n in range(count)], studies=1)
    found = split_of(paths, changed(PARAMS, n_folds=n_folds, seed=seed))

    sizes = [len(fold.validation) for fold in found.folds]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    assert abs(len(found.test) - max(1, 0.2 * count)) <= 1
    assert len(found.test) + sum(sizes) == count


def test_each_site_is_spread_over_all_sides(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY, studies=1, attributes={p: {"site": p[-1]} for p in MANY})
    side = sides(split_of(paths))

    for site in "0123456789":
        of_site = [side[f"{p}-0"] for p in MANY if p[-1] == site]
        assert max(map(of_site.count, set(of_site))) <= 2  # of six, on six sides


def test_a_centre_is_held_out_by_a_column(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    held = {patient: {"side": "test"} for patient in MANY[:20]}
    write_cases(paths, MANY, attributes=held)
    found = split_of(paths)

    assert {name.split("-")[0] for name in found.test} == set(MANY[:20])
    held[MANY[0]] = {"side": "tst"}
    write_cases(paths, MANY, attributes=held)
    with pytest.raises(DataError, match=r"patients.csv, case patient_0-0: .*found tst"):
        split_of(paths)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_what_the_error_for_few_patients_says_works(count: int, tmp_path: Path) -> None:
    """Copies under other names are one patient."""
    paths = Paths(tmp_path)
    copies = {f"{name}-0": "a" for name in MANY[:2]}
    write_cases(paths, MANY[: count + 1], digests=copies)
    with pytest.raises(DataError) as caught:
        split_of(paths)

    mend, params = str(caught.value).rsplit("; ", 1)[1], PARAMS
    more = re.match(r"add cases of (\d) other patients", mend)
    if more:
        write_cases(paths, MANY[: count + 1 + int(more[1])], digests=copies)
        with pytest.raises(DataError) as caught:
            split_of(paths)
        mend = str(caught.value).rsplit("; ", 1)[1]
    params = changed(PARAMS, n_folds=int(mend.removeprefix("set split.n_folds to ")))
    assert all(fold.training for fold in split_of(paths, params).folds)


@pytest.mark.parametrize("by_dvc", [False, True])
def test_a_project_from_before_split_lock_keeps_its_split(
    by_dvc: bool, tmp_path: Path
) -> None:
    """The sides were hashes; these were taken from the version without the file."""
    paths = Paths(tmp_path)
    write_cases(paths, MANY[:12], studies=1)
    if by_dvc:
        (tmp_path / "dvc.lock").write_text("schema: '2.0'\nstages: {split: {}}\n")
    else:
        split_file(paths.artifacts).parent.mkdir()
        split_file(paths.artifacts).write_text("{}")
    found = split_of(paths, changed(PARAMS, n_folds=2, seed=3))

    assert [name.split("_")[1] for name in found.test] == OLD_TEST
    assert [name.split("_")[1] for name in found.folds[0].validation] == OLD_FOLD


def test_patients_keep_their_side_without_artifacts(tmp_path: Path) -> None:
    """DVC empties artifacts/split; patients who left keep theirs for their return."""
    paths = Paths(tmp_path)
    write_cases(paths, MANY[:30])
    before = sides(split_of(paths))
    shutil.rmtree(paths.artifacts / "split")
    write_cases(paths, MANY[10:])
    split_of(paths)
    shutil.rmtree(paths.artifacts / "split")
    write_cases(paths, MANY)

    assert before.items() <= sides(split_of(paths)).items()


def test_the_same_params_give_the_same_bytes(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY)
    texts = []
    for _ in range(2):
        split_of(paths)
        texts.append((paths.artifacts / "split" / "split.json").read_bytes())

    assert texts[0] == texts[1]
    assert json.loads(texts[0])["format_version"] == 1
