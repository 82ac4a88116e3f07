"""A mask and its record are kept together or not at all."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from segpipe.approval.chain.folder import records_folder
from segpipe.approval.records import Correction
from segpipe.project.errors import DataError
from segpipe.project.fingerprint import digest_file
from segpipe.project.paths import Paths
from segpipe.review.corrections.draft import begin
from segpipe.review.corrections.store import (
    corrections_folder,
    list_filed,
    sign_correction,
)
from tests.support.corrected import (
    ITEM,
    digest_of,
    first,
    item_of,
    judged_case,
    write_project,
    write_review,
)
from tests.support.reviews import password_of, write_people


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    paths = write_project(tmp_path_factory.mktemp("store"))
    write_people(paths.root)
    return paths


def test_a_correction_is_kept_on_the_grid_of_its_source_and_signed(
    paths: Paths,
) -> None:
    """Voxels have 2 mm³; a line of four voxels along i is all contour."""
    volume = write_review(paths, judged_case(paths))
    draft = begin(volume, item_of(volume), first(volume), paths)
    step = draft.grid.shape[1] * draft.grid.shape[2]
    after = draft.finish(draft.draw([(n * step, 1, 3) for n in range(4)]))
    secret = password_of("rob")
    record = sign_correction(draft, after, "a spur", "rob", secret, paths.root)

    content = record.content
    assert isinstance(content, Correction)
    assert (record.signer, record.role) == ("rob", "reader")
    assert content.before == digest_of(volume, "B")
    assert (content.case, content.purpose) == (ITEM, "reference")
    assert content.subject.segmenter == volume.dossier.segmenter
    assert content.changed_ml == {"ball": 0, "core": pytest.approx(4 * 2 / 1000)}
    assert content.added_path_mm == pytest.approx(4)
    assert content.comment == "a spur"
    (filed,) = list_filed(paths)
    assert filed.kept is not None
    assert digest_file(filed.mask) == content.after
    label = nib.load(paths.data / f"labelsTr/{judged_case(paths)}.nii")
    kept = nib.load(filed.mask)
    assert np.array_equal(kept.affine, label.affine)
    changed = np.asarray(kept.dataobj) != np.asarray(label.dataobj)
    assert changed.sum() == 4
    text = (records_folder(paths.root) / f"{record.number:06d}.json").read_text()
    assert judged_case(paths) not in text
    assert corrections_folder(paths).stat().st_mode & 0o077 == 0


def test_without_a_signature_nothing_is_kept(paths: Paths) -> None:
    volume = write_review(paths, judged_case(paths))
    draft = begin(volume, item_of(volume), first(volume, None), paths)
    after = draft.finish(draft.draw([(1, 1, 1)]))
    before = sorted(corrections_folder(paths).iterdir())

    for name, secret in (("rob", "wrong words and words"), ("zoe", "x" * 12)):
        with pytest.raises(DataError):
            sign_correction(draft, after, "", name, secret, paths.root)
    assert sorted(corrections_folder(paths).iterdir()) == before


def test_pictures_without_a_spacing_are_measured_in_px(tmp_path: Path) -> None:
    paths = write_project(tmp_path, dimensions=2)
    write_people(paths.root)
    volume = write_review(paths, judged_case(paths))
    draft = begin(volume, item_of(volume), first(volume), paths)
    after = draft.finish(draft.draw([(0, 2, 1)]))
    record = sign_correction(draft, after, "", "rob", password_of("rob"), paths.root)

    path = records_folder(paths.root) / f"{record.number:06d}.json"
    content = json.loads(path.read_text())["content"]
    assert content["added_path_mm"] is None
    assert content["changed_ml"] == {}
    assert content["added_path_px"] == 2
    assert content["changed_px"] == {"ball": 2, "core": 0}
    assert "comment" not in content
    (filed,) = list_filed(paths)
    assert filed.mask.suffix == ".png"
