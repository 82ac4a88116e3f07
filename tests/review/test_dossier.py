"""A dossier is written whole or not at all, and shows every change."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.review.dossier import (
    LARGEST,
    Dossier,
    Item,
    Key,
    Shown,
    check_file,
    item_folder,
    new_dossier,
    read_dossier,
    read_key,
    seal,
)

ITEM = "0123abcd"
SHOWN = Shown(
    case="anna",
    patient="anna",
    stratum="random",
    letters={"A": "candidate"},
    figures={"liver": {"candidate.dice": 0.5}},
)


def write(folder: Path) -> Dossier:
    dossier = Dossier(
        format_version=1,
        name="liver",
        version="2",
        segmenter="0" * 64,
        champion=None,
        protocol="1" * 64,
        data=None,
        code=None,
        made=datetime.now(UTC),
        structures=(),
        unit="mm",
        windows=(),
        items=(Item(id=ITEM, letters=("A",)),),
        files={},
    )
    with new_dossier(folder) as part:
        item_folder(part, ITEM).mkdir(parents=True)
        for name in ("image.nii.gz", "A.nii.gz", "montage.png"):
            (item_folder(part, ITEM) / name).write_bytes(name.encode())
        return seal(part, dossier, Key(items={ITEM: SHOWN}))


def test_what_was_sealed_is_read_and_only_the_key_names_the_case(
    tmp_path: Path,
) -> None:
    folder = tmp_path / ".reviews" / "liver-2"
    sealed = write(folder)

    assert read_dossier(folder) == sealed
    assert read_key(folder).items == {ITEM: SHOWN}
    for place in sealed.files:
        check_file(folder, sealed, place)
    assert stat.S_IMODE((folder / "key.json").stat().st_mode) == 0o600
    assert "anna" not in (folder / "dossier.json").read_text()


def test_a_dossier_is_never_replaced_and_half_of_one_is_removed(
    tmp_path: Path,
) -> None:
    write(tmp_path / "a")
    with pytest.raises(DataError, match="found one on which readings may rest"):
        write(tmp_path / "a")
    with pytest.raises(IsADirectoryError), new_dossier(tmp_path / "b") as part:
        part.write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("name", [f"items/{ITEM}/A.nii.gz", "key.json"])
@pytest.mark.parametrize("how", ["changed", "gone"])
def test_a_changed_file_is_named(tmp_path: Path, name: str, how: str) -> None:
    sealed = write(tmp_path / "a")
    path = tmp_path / "a" / name
    path.write_bytes(b"{}") if how == "changed" else path.unlink()

    with pytest.raises(DataError, match=path.name):
        check_file(tmp_path / "a", sealed, name)


def test_a_place_outside_is_refused(tmp_path: Path) -> None:
    sealed = write(tmp_path / "a")
    for place in ("../b", "/etc/passwd", "dossier.json", "items/../key.json"):
        with pytest.raises(DataError, match="the place of one of its files"):
            check_file(tmp_path / "a", sealed, place)


@pytest.mark.parametrize("content", ["{", "{}", "null", "\xff", " " * (LARGEST + 1)])
def test_another_file_is_no_dossier(tmp_path: Path, content: str) -> None:
    (tmp_path / "dossier.json").write_bytes(content.encode("latin-1"))

    with pytest.raises(DataError, match="dossier"):
        read_dossier(tmp_path)


def test_a_list_that_lacks_a_file_is_refused(tmp_path: Path) -> None:
    sealed = write(tmp_path / "a")
    files = dict(sealed.files)
    files[f"items/{ITEM}/../../../x"] = files.pop(f"items/{ITEM}/A.nii.gz")
    sealed.model_copy(update={"files": files}).write(tmp_path / "a" / "dossier.json")

    with pytest.raises(DataError, match="digests of 4 files"):
        read_dossier(tmp_path / "a")
