"""A correction begins with what was shown, and a reference with no model's mask."""

import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from segpipe.dataset.case import read_cases
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.review.corrections.draft import Begin, begin
from segpipe.review.dossier import item_folder
from segpipe.review.shelf import Volume
from tests.support.corrected import (
    ITEM,
    digest_of,
    first,
    item_of,
    judged_case,
    trained_on,
    write_project,
    write_review,
)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    return write_project(tmp_path_factory.mktemp("draft"))


@pytest.fixture(scope="module")
def volume(paths: Paths) -> Volume:
    return write_review(paths, judged_case(paths))


def start(volume: Volume, paths: Paths, given: Begin) -> Any:
    return begin(volume, item_of(volume), given, paths)


def test_runs_change_the_voxels_of_the_file_that_was_shown(
    paths: Paths, volume: Volume
) -> None:
    """And the result lies on the grid of data/, whose i and j run the other way."""
    draft = start(volume, paths, first(volume))
    shown = np.asarray(nib.load(item_folder(volume.folder, ITEM) / "B.nii.gz").dataobj)
    place = (2 * shown.shape[1] + 3) * shown.shape[2] + 4
    after = draft.finish(draft.draw([(place, 2, 3)]))

    label = np.asarray(
        nib.load(paths.data / f"labelsTr/{judged_case(paths)}.nii").dataobj
    ).copy()
    assert (label[::-1, ::-1] == shown).all()
    label[-1 - 2, -1 - 3, 4:6] = 3
    assert (after == label).all()


def test_a_file_lands_on_the_same_voxels_as_the_brush(
    paths: Paths, volume: Volume
) -> None:
    draft = start(volume, paths, first(volume))
    drawn = draft.draw([(0, 5, 1)])
    content = nib.Nifti1Image(drawn.astype(np.uint8), draft.grid.affine).to_bytes()

    assert (draft.read(content, "mine.nii") == drawn).all()


def test_an_empty_mask_is_a_beginning(paths: Paths, volume: Volume) -> None:
    draft = start(volume, paths, first(volume, None))
    after = draft.finish(draft.draw([(7, 1, 1)]))

    assert (after == 1).sum() == 1


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "the candidate's mask": ({"letter": "C"}, "without a model in view"),
    "the champion's mask": ({"letter": "A"}, "without a model in view"),
    "for training": ({"purpose": "training"}, "never enters a training"),
    "another digest": ({"base": "0" * 64}, "the page is old"),
    "no digest": ({"base": None}, "the page is old"),
    "an empty mask with a digest": ({"letter": None}, "none with an empty mask"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_beginning_that_would_poison_the_gate_is_refused(
    name: str, paths: Paths, volume: Volume
) -> None:
    changed, words = REFUSED[name]
    given = {"letter": "B", "base": digest_of(volume, "B"), "purpose": "reference"}
    if changed.get("letter") in ("A", "C"):
        given["base"] = digest_of(volume, changed["letter"])

    with pytest.raises(DataError, match=words) as refusal:
        start(volume, paths, Begin(**(given | changed)))
    assert judged_case(paths) not in str(refusal.value)


def test_a_models_mask_is_no_reference_whoever_sends_it(
    paths: Paths, volume: Volume
) -> None:
    draft = start(volume, paths, first(volume, None))
    path = item_folder(volume.folder, ITEM) / "C.nii.gz"
    mask = draft.read(path.read_bytes(), "drawn-by-me.nii.gz")

    with pytest.raises(DataError, match="a model is no reference"):
        draft.finish(mask)
    mask[0, 0, 0] = 1
    draft.finish(mask)


def test_a_correction_that_changes_nothing_is_refused(
    paths: Paths, volume: Volume
) -> None:
    draft = start(volume, paths, first(volume))

    with pytest.raises(DataError, match="changed voxels"):
        draft.finish(draft.draw([]))


def test_a_case_that_is_not_tested_may_begin_with_any_mask(
    paths: Paths, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    shutil.copytree(paths.root, root)
    volume = write_review(Paths(root), trained_on(paths))
    given = Begin("C", digest_of(volume, "C"), "training")
    draft = start(volume, Paths(root), given)
    draft.finish(draft.draw([(0, 1, 1)]))

    with pytest.raises(DataError, match="no test case"):
        start(volume, Paths(root), first(volume))


def test_a_reference_that_was_replaced_meanwhile_is_no_beginning(
    paths: Paths, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    shutil.copytree(paths.root, root)
    volume = write_review(Paths(root), judged_case(paths))
    file = root / "data" / read_cases(paths.artifacts)[judged_case(paths)].label
    image = nib.load(file)
    array = np.asarray(image.dataobj).copy()
    array[0, 0, 0] = 1
    nib.save(nib.Nifti1Image(array, image.affine), file)

    with pytest.raises(DataError, match="a newer version of the reference"):
        start(volume, Paths(root), first(volume))
    start(volume, Paths(root), first(volume, None))
