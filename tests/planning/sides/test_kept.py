"""Patients keep the side that they have, by split.lock."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from tests.support.projects import changed
from tests.support.sides import MANY, PARAMS, sides, split_of, write_cases

OLD_TEST = ["1-0", "7-0"]
OLD_FOLD = ["0-0", "11-0", "2-0", "4-0", "5-0", "6-0", "8-0"]
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
