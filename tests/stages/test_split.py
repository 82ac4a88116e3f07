"""A patient stands on one side, and stays there."""

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from segpipe.dataset.case import Case, CaseList
from segpipe.dataset.split import Split, read_split
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
    drawn: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
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
            structures=drawn.get(patient, ("a",)),
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
    before = {apart[f"patient_{n}-0"] for n in (3, 7, 50)}
    assert one == ({"test"} if "test" in before else {apart["patient_3-0"]})
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


@pytest.mark.parametrize("test_fraction", [0.0, 0.1, 0.2, 0.5, 0.8])
@pytest.mark.parametrize("n_folds", [2, 4, 5, 10])
def test_sizes_are_within_one_patient_of_what_the_params_say(
    n_folds: int, test_fraction: float
) -> None:
    """No wanted side is empty; a fold with less than one patient has one."""
    params = changed(PARAMS, n_folds=n_folds, test_fraction=test_fraction)
    part = (1 - test_fraction) / n_folds
    for count in range(n_folds + 1, 64):
        names = {f"patient_{n}": f"patient_{n}" for n in range(count)}
        found = split.assign(params, names, {}, {name: {""} for name in names})
        sizes = Counter(found.values())
        folds = [sizes[n] for n in range(n_folds)]

        assert sum(sizes.values()) == count
        assert min(folds) >= 1
        assert (sizes["test"] >= 1) is (test_fraction > 0)
        assert max(folds) - min(folds) <= 1
        if min(part, test_fraction or 1) * count >= 1:
            assert abs(sizes["test"] - test_fraction * count) <= 1
            assert all(abs(size - part * count) <= 1 for size in folds)


def test_each_site_is_spread_over_all_sides(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY, studies=1, attributes={p: {"site": p[-1]} for p in MANY})
    side = sides(split_of(paths))

    for site in "0123456789":
        of_site = [side[f"{p}-0"] for p in MANY if p[-1] == site]
        assert len(set(of_site)) >= 4  # of six, on six sides


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


def test_a_column_side_may_tell_eyes_apart(tmp_path: Path) -> None:
    """A project may have had this free column before it meant anything."""
    paths = Paths(tmp_path)
    eyes = {name: {"side": "Left" if n % 2 else "R"} for n, name in enumerate(MANY)}
    write_cases(paths, MANY, attributes=eyes)

    assert len(split_of(paths).test) == 24


@pytest.mark.parametrize(
    ("having", "expected"),
    [
        (1, {"1"}),
        (2, {"1", "test"}),
        (3, {"1", "test", "0"}),
        (6, {"test", *"01234"}),
    ],
)
def test_a_rare_structure_is_trained_then_tested_then_validated(
    having: int, expected: set[str], tmp_path: Path
) -> None:
    """Whatever the seed, and in spite of sites and of another rare structure."""
    paths = Paths(tmp_path)
    rare = dict.fromkeys(MANY[8 : 8 + having], ("a", "rare"))
    other = dict.fromkeys(MANY[16:18], ("a", "other"))
    sites = {name: {"site": str(n % 3)} for n, name in enumerate(MANY[:20])}
    write_cases(paths, MANY[:20], attributes=sites, drawn=other | rare)
    for seed in range(20):
        (tmp_path / "split.lock").unlink(missing_ok=True)
        shutil.rmtree(paths.artifacts / "split", ignore_errors=True)
        side = sides(split_of(paths, changed(PARAMS, seed=seed)))

        assert {side[f"{name}-0"] for name in rare} == expected
        assert {side[f"{name}-0"] for name in other} == {"1", "test"}


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
    folds = re.fullmatch(r"set split.n_folds to (\d), and list no .* in folds", mend)
    assert folds
    params = changed(PARAMS, n_folds=int(folds[1]))
    assert all(fold.training for fold in split_of(paths, params).folds)


LOCKED = """schema: '2.0'
stages:
  split:
    params:
      params.yaml:
        split: {{seed: 2}}
    outs: [{outs}]
"""
BEFORE = "{path: artifacts/split, md5: 0}"
SINCE = BEFORE + ", {path: split.lock, md5: 0}"


def test_a_project_from_before_split_lock_keeps_its_split(tmp_path: Path) -> None:
    """The sides were hashes; these were taken from the version without the file."""
    paths = Paths(tmp_path)
    write_cases(paths, MANY[:12], studies=1)
    (tmp_path / "dvc.lock").write_text(LOCKED.format(outs=BEFORE))
    found = split_of(paths, changed(PARAMS, n_folds=2, seed=3))

    assert [name.split("_")[1] for name in found.test] == OLD_TEST
    assert [name.split("_")[1] for name in found.folds[0].validation] == OLD_FOLD


@pytest.mark.parametrize("lost", ["artifacts/split", "split.lock"])
def test_patients_keep_their_side_by_either_file(lost: str, tmp_path: Path) -> None:
    """DVC empties artifacts/split; without DVC, split.lock may be lost."""
    paths = Paths(tmp_path)
    write_cases(paths, MANY[:30])
    before = sides(split_of(paths))
    for path in (tmp_path / lost, *(tmp_path / lost).rglob("*")):
        if path.is_file():
            path.unlink()
    write_cases(paths, MANY)

    assert before.items() <= sides(split_of(paths)).items()


def test_patients_who_left_have_their_side_when_they_are_back(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY[:30])
    before = sides(split_of(paths))
    write_cases(paths, MANY[10:])
    split_of(paths)
    shutil.rmtree(paths.artifacts / "split")
    write_cases(paths, MANY)

    assert before.items() <= sides(split_of(paths)).items()


def test_split_lock_names_nobody(tmp_path: Path) -> None:
    """More people may read git than the data."""
    paths = Paths(tmp_path)
    write_cases(paths, MANY)
    split_of(paths)

    assert "patient_" not in (tmp_path / "split.lock").read_text()


@pytest.mark.parametrize(
    ("values", "stay", "sizes"),
    [
        ({"n_folds": 2}, "test", [6, 12, 12]),
        ({"test_fraction": 0.5}, "test", [15, 3, 3, 3, 3, 3]),
        ({"test_fraction": 0.1}, "test", [6, 5, 5, 5, 5, 4]),
        ({"test_fraction": 0.1, "seed": 7}, "", [3, 6, 6, 5, 5, 5]),
    ],
)
def test_other_params_move_no_test_patient_but_for_another_seed(
    values: dict[str, float],
    stay: str,
    sizes: list[int],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Else a network would be tested on patients that chose its predecessor."""
    paths = Paths(tmp_path)
    write_cases(paths, MANY[:30], studies=1)
    before = sides(split_of(paths))
    caplog.clear()
    found = split_of(paths, changed(PARAMS, **values))

    after = sides(found)
    assert all(after[case] == side for case, side in before.items() if side == stay)
    counts = [len(found.test), *(len(fold.validation) for fold in found.folds)]
    assert counts[0] == sizes[0]
    assert sorted(counts[1:]) == sorted(sizes[1:])
    said = "test patients stay" if stay else "all patients are assigned anew"
    assert said in caplog.text
    caplog.clear()
    assert sides(split_of(paths, changed(PARAMS, **values))) == after
    assert "split.lock" not in caplog.text


def test_a_lost_split_lock_is_refused_until_the_seed_changes(tmp_path: Path) -> None:
    """dvc.lock lists it, so that somebody did not commit it."""
    paths = Paths(tmp_path)
    write_cases(paths, MANY[:30])
    before = sides(split_of(paths))
    lock = tmp_path / "split.lock"
    kept = lock.read_text()
    (tmp_path / "dvc.lock").write_text(LOCKED.format(outs=SINCE))
    lock.unlink()

    with pytest.raises(DataError, match=r"restore it .*, or set another split.seed"):
        split_of(paths)
    shutil.rmtree(paths.artifacts / "split")
    other = sides(split_of(paths, changed(PARAMS, seed=9)))
    assert other != before
    lock.write_text(kept)
    assert sides(split_of(paths)) == before


def test_a_damaged_split_lock_is_refused_with_a_mend_that_works(tmp_path: Path) -> None:
    """As two branches leave it, each of which added patients."""
    paths = Paths(tmp_path)
    write_cases(paths, MANY[:30])
    before = sides(split_of(paths))
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "split.lock"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    lock = tmp_path / "split.lock"
    lock.write_text("<<<<<<< HEAD\n" + lock.read_text())

    with pytest.raises(DataError, match="found another content") as caught:
        split_of(paths)
    mend = re.search(r"`git (.*)`$", str(caught.value))
    assert mend
    subprocess.run(["git", *mend[1].split()], cwd=tmp_path, check=True)
    assert sides(split_of(paths)) == before


def test_a_side_whose_patients_left_is_filled_or_refused(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY[:12], studies=1)
    side = sides(split_of(paths))
    rest = [name for name in MANY[:12] if side[f"{name}-0"] != "3"]
    write_cases(paths, rest, studies=1)

    with pytest.raises(DataError, match=r"fold 3; set another split\.seed, which"):
        split_of(paths)
    assert split_of(paths, changed(PARAMS, seed=9)).folds[3].validation
    (tmp_path / "split.lock").unlink()
    shutil.rmtree(paths.artifacts / "split")
    write_cases(paths, MANY[:12], studies=1)
    split_of(paths)
    write_cases(paths, [*rest, "new"], studies=1)
    assert split_of(paths).folds[3].validation == ("new-0",)


def test_copies_that_had_two_sides_join_the_test_set(tmp_path: Path) -> None:
    """A new scan shows that two patients are one."""
    paths = Paths(tmp_path)
    write_cases(paths, MANY, studies=1)
    side = sides(split_of(paths))
    tested = next(name for name in MANY if side[f"{name}-0"] == "test")
    trained = next(name for name in MANY if side[f"{name}-0"] == "2")
    write_cases(paths, MANY, digests={f"{tested}-0": "a", f"{trained}-1": "a"})
    after = sides(split_of(paths))

    assert {after[f"{tested}-0"], after[f"{trained}-0"]} == {"test"}


def test_the_same_params_give_the_same_bytes(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY)
    texts = []
    for _ in range(2):
        split_of(paths)
        texts.append((paths.artifacts / "split" / "split.json").read_bytes())

    assert texts[0] == texts[1]
    assert json.loads(texts[0])["format_version"] == 1


def stains(few: int) -> dict[str, dict[str, str]]:
    """The last patients are stained."""
    names = dict.fromkeys(MANY, "fluorescence") | dict.fromkeys(MANY[-few:], "H&E")
    return {patient: {"stain": stain} for patient, stain in names.items()}


@pytest.mark.parametrize("seed", range(4))
def test_each_side_has_its_share_of_a_group(tmp_path: Path, seed: int) -> None:
    """Test should get 2.4 of 12 stained patients, and each fold 1.9 of them."""
    paths = Paths(tmp_path)
    of = stains(12)
    write_cases(paths, MANY, studies=1, attributes=of)

    found = split_of(paths, changed(PARAMS, groups=("stain",), seed=seed))

    stained = {f"{name}-0" for name in MANY[-12:]}
    assert len(stained.intersection(found.test)) in (2, 3)
    assert len(found.test) == 12
    for fold in found.folds:
        assert 1 <= len(stained.intersection(fold.validation)) <= 3
    values = found.groups["stain"]
    assert {name for name, value in values.items() if value == "H&E"} == stained


def test_a_split_without_groups_is_written_as_before(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY, attributes=stains(12))
    split_of(paths)

    written = json.loads((paths.artifacts / "split" / "split.json").read_text())
    assert set(written) == {"format_version", "test", "folds"}
    assert "groups" not in json.loads((tmp_path / "split.lock").read_text())


def test_a_group_that_no_case_has_is_refused_with_the_columns(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY, attributes=stains(12))

    with pytest.raises(DataError, match=r"split.groups: .*\(stain\), found colour"):
        split_of(paths, changed(PARAMS, groups=("colour",)))


def test_nobody_is_tested_if_the_params_ask_for_none(tmp_path: Path) -> None:
    """Two patients are enough then, and a given side still tests."""
    paths = Paths(tmp_path)
    none = changed(PARAMS, test_fraction=0.0, n_folds=2)
    write_cases(paths, MANY[:2])
    assert split_of(paths, none).test == ()

    write_cases(paths, MANY[:8], attributes={MANY[5]: {"side": "test"}})
    found = split_of(paths, none)
    assert found.test == (f"{MANY[5]}-0", f"{MANY[5]}-1")
