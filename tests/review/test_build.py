"""From a registered version to a sealed, blinded dossier."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from segpipe.approval.protocol import write_protocol
from segpipe.dataset.case import read_cases
from segpipe.dataset.case_files import read_case_label
from segpipe.dataset.split import read_split
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.review.build import build
from segpipe.review.dossier import check_files, read_dossier, read_key
from tests.support.projects import one_thread
from tests.support.reviewed import register_fold


@pytest.fixture(scope="module")
def paths(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    root = tmp_path_factory.mktemp("review") / "project"
    shutil.copytree(trained, root)
    paths = Paths(root)
    for model, alias in (("poor", "champion"), ("good", "candidate")):
        fold = paths.artifacts / "train" / model / "0" / "segmenter"
        register_fold(paths, fold, alias=alias)
    file = write_protocol(root)
    text = file.read_text().replace("worst: 10", "worst: 2")
    text = text.replace("random: 30", "random: 3").replace(
        "strata: []", "strata: [site]"
    )
    file.write_text(text)
    return paths


def test_a_dossier_holds_what_the_protocol_asks_for(paths: Paths) -> None:
    folder = build("models:/balls@candidate", compute=one_thread(), paths=paths)
    dossier, key = read_dossier(folder), read_key(folder)
    check_files(folder, dossier)

    cases = read_cases(paths.artifacts)
    shown = [key.items[item.id] for item in dossier.items]
    strata = [one.stratum for one in shown]
    assert {name: strata.count(name) for name in set(strata)} == {
        "worst": 2,
        "random": 3,
        "repeat": 1,
        "control": 2,
    }
    assert {one.case for one in shown} <= set(read_split(paths.artifacts).test)
    assert all(set(one.letters) == {"A", "B", "C"} for one in shown)
    assert [one.name for one in dossier.structures] == ["ball", "core"]
    text = (folder / "dossier.json").read_text()
    assert not [case.name for case in cases.cases if case.name in text]
    for item, one in zip(dossier.items, shown, strict=True):
        masks = {
            source: np.asarray(
                nib.load(folder / "items" / item.id / f"{letter}.nii.gz").dataobj
            )
            for letter, source in one.letters.items()
        }
        label = read_case_label(paths.data, cases, cases[one.case])
        turned = label.grid.to_canonical.apply(label.array)
        assert (masks["reference"] == turned).all()
        value = {"ball": 1, "core": 3}
        for structure in one.refused:
            bad, right = (
                mask == value[structure] for mask in (masks["candidate"], turned)
            )
            assert 2 * (bad & right).sum() <= 0.5 * (bad.sum() + right.sum())
            # Beside a mask of the same volume, it would be seen what it was made of.
            volumes = {
                source: (m == value[structure]).sum() for source, m in masks.items()
            }
            assert volumes["candidate"] not in {volumes["reference"]}
        if one.fault is None:
            found = masks["candidate"] == 3
            right = (
                2 * (found & (turned == 3)).sum() / (found.sum() + (turned == 3).sum())
            )
            assert one.figures["core"]["candidate.dice"] == pytest.approx(
                right, abs=1e-5
            )
    with pytest.raises(DataError, match="found one on which readings may rest"):
        build("models:/balls/2", compute=one_thread(), paths=paths)


def test_what_cannot_be_built_leaves_nothing(paths: Paths, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a registered version"):
        build("good", compute=one_thread(), paths=paths)
    cases = read_cases(paths.artifacts)
    fold = paths.artifacts / "train" / "good" / "0" / "segmenter"
    test = tuple(cases[name].patient for name in read_split(paths.artifacts).test)
    number = register_fold(paths, fold, name="knowing", alias="candidate", more=test)
    with pytest.raises(DataError, match=r"patients that .* does not know"):
        build(f"models:/knowing/{number}", compute=one_thread(), paths=paths)
    assert not (paths.root / ".reviews" / f"knowing-{number}").exists()
    empty = Paths(tmp_path)
    with pytest.raises(DataError, match=r"review\.yaml.*segpipe review init"):
        build("models:/balls/2", compute=one_thread(), paths=empty)
