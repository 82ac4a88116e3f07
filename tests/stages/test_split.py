"""The split goes by patient and stays as data are added."""

import json
from pathlib import Path

from segpipe.project.paths import Paths
from tests.support.projects import changed
from tests.support.sides import MANY, PARAMS, sides, split_of, stains, write_cases


def test_every_patient_stands_on_one_side(tmp_path: Path) -> None:
    """Seeds: N10."""
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


def test_the_same_params_give_the_same_bytes(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY)
    texts = []
    for _ in range(2):
        split_of(paths)
        texts.append((paths.artifacts / "split" / "split.json").read_bytes())

    assert texts[0] == texts[1]
    assert json.loads(texts[0])["format_version"] == 1


def test_a_split_without_groups_is_written_as_before(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    write_cases(paths, MANY, attributes=stains(12))
    split_of(paths)

    written = json.loads((paths.artifacts / "split" / "split.json").read_text())
    assert set(written) == {"format_version", "test", "folds"}
    assert "groups" not in json.loads((tmp_path / "split.lock").read_text())
