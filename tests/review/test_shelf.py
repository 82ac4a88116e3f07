"""Dossiers are found by their digests, and their files by what the dossier says."""

import hashlib
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.review.shelf import Shelf
from tests.support.dossiers import write_dossier


def test_a_dossier_is_known_by_its_digest_also_when_it_comes_later(
    tmp_path: Path,
) -> None:
    shelf = Shelf(tmp_path)
    assert shelf.volumes() == []
    folder = write_dossier(tmp_path / "phantom-3", items=1)
    digest = hashlib.sha256((folder / "dossier.json").read_bytes()).hexdigest()
    (volume,) = shelf.volumes()

    assert (volume.digest, volume.id) == (digest, digest[:16])
    assert shelf.find(digest[:16]) is volume
    for other in ("phantom-3", "../x", "", digest):
        assert shelf.find(other) is None


def test_a_damaged_dossier_does_not_hide_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_dossier(tmp_path / "phantom-3", items=1)
    torn = write_dossier(tmp_path / "phantom-4", items=1) / "dossier.json"
    shelf = Shelf(tmp_path)
    assert len(shelf.volumes()) == 2
    whole = torn.read_bytes()
    torn.write_bytes(whole[:100])

    (volume,) = shelf.volumes()

    assert volume.folder.name == "phantom-3"
    assert "phantom-4/dossier.json: expected a Dossier" in caplog.text
    torn.write_bytes(whole)  # a backup is put back
    assert len(shelf.volumes()) == 2


def test_an_item_has_its_image_masks_and_montage_and_never_the_key(
    tmp_path: Path,
) -> None:
    write_dossier(tmp_path / "phantom-3", items=1)
    (volume,) = Shelf(tmp_path).volumes()
    (item,) = volume.dossier.items
    files = volume.files_of(item)

    assert [*files] == [
        "image.nii.gz",
        "A.nii.gz",
        "B.nii.gz",
        "C.nii.gz",
        "montage.png",
    ]
    assert all(place.startswith(f"items/{item.id}/") for place in files.values())


def test_a_file_that_was_changed_or_removed_is_not_shown(tmp_path: Path) -> None:
    folder = write_dossier(tmp_path / "phantom-3", items=1)
    (volume,) = Shelf(tmp_path).volumes()
    place = volume.files_of(volume.dossier.items[0])["A.nii.gz"]
    content = (folder / place).read_bytes()
    assert volume.read(place) == content

    (folder / place).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match="was sealed"):
        volume.read(place)
    (folder / place).unlink()
    with pytest.raises(DataError, match="no file"):
        volume.read(place)
