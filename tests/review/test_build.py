"""From a registered version to a sealed, blinded dossier."""

import gzip
import hashlib
import shutil
import struct
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
from segpipe.review.dossier import Stratum, read_dossier, read_key
from segpipe.review.items.laying import find_previous
from tests.support.projects import one_thread
from tests.support.reviewed import register_fold

PLAIN = {b"IHDR", b"pHYs", b"IDAT", b"IEND"}  # parts of a PNG without texts
HEADER = 352  # bytes of a NIfTI header and its flag of extensions


@pytest.fixture(scope="module")
def paths(
    trained: Path, tables: Path, tmp_path_factory: pytest.TempPathFactory
) -> Paths:
    """A project with a champion, a candidate and a small review.yaml."""
    root = tmp_path_factory.mktemp("review") / "project"
    shutil.copytree(trained, root)
    shutil.copyfile(tables, root / "mlflow.db")
    paths = Paths(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for model, alias in (("poor", "champion"), ("good", "candidate")):
            fold = paths.artifacts / "train" / model / "0" / "segmenter"
            register_fold(paths, fold, alias=alias)
    file = write_protocol(root)
    text = file.read_text().replace("worst: 10", "worst: 2")
    text = text.replace("random: 30", "random: 3").replace(
        "strata: []", "strata: [site]"
    )
    text = text.replace("previous: null", "previous: earlier")
    file.write_text(text)
    write_previous(paths)
    return paths


def write_previous(paths: Paths) -> None:
    """A previous study of every other test case, to the left and back, on a grid."""
    (paths.root / "earlier").mkdir()
    for case in read_split(paths.artifacts).test[::2]:
        study = np.random.default_rng(len(case)).integers(0, 200, (12, 10, 5))
        affine = np.diag([-2.0, -2.0, 3.0, 1.0])
        image = nib.Nifti1Image(study.astype(np.int16), affine)
        image.header["descrip"] = case.encode()
        nib.save(image, paths.root / "earlier" / f"{case}.nii.gz")


@pytest.fixture(scope="module")
def folder(paths: Paths) -> Path:
    """The dossier of the candidate."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return build("models:/balls@candidate", compute=one_thread(), paths=paths)


@pytest.fixture(autouse=True)
def own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_a_dossier_holds_what_the_protocol_asks_for(paths: Paths, folder: Path) -> None:
    dossier, key = read_dossier(folder), read_key(folder)
    places = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and path.name != "dossier.json"
    }
    assert dossier.files == {name: one.hexdigest() for name, one in places.items()}

    cases = read_cases(paths.artifacts)
    shown = [key.items[item.id] for item in dossier.items]
    strata: tuple[Stratum, ...] = ("worst", "random", "repeat", "control")
    assert {name: sum(one.belongs_to(name) for one in shown) for name in strata} == {
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
    # predict has segmented all of it, so nothing was segmented again.
    assert not (paths.cache / "comparison").exists()
    with pytest.raises(DataError, match="found one on which readings may rest"):
        build("models:/balls/2", compute=one_thread(), paths=paths)


def test_masks_are_what_the_key_says_and_controls_are_wrong(
    paths: Paths, folder: Path
) -> None:
    """The reference is read by nibabel, Dice is arithmetic."""
    cases, key = read_cases(paths.artifacts), read_key(folder)
    value = {"ball": 1, "core": 3}
    for item, one in key.items.items():
        masks = {
            source: np.asarray(
                nib.load(folder / "items" / item / f"{letter}.nii.gz").dataobj
            )
            for letter, source in one.letters.items()
        }
        label = read_case_label(paths.data, cases, cases[one.case])
        turned = label.grid.to_canonical.apply(label.array)

        assert (masks["reference"] == turned).all()
        for structure in one.refused:
            bad, right = (
                mask == value[structure] for mask in (masks["candidate"], turned)
            )
            assert 2 * (bad & right).sum() <= 0.5 * (bad.sum() + right.sum())
            # Of the candidate's mask: beside its own volume, a copy would be seen.
            own = predicted(paths, one.case) == value[structure]
            assert one.fault == "emptied" or 0 < bad.sum() <= own.sum()
            assert one.fault != "mirrored" or (bad == own[::-1]).all()
        if one.fault is None:
            found, right = masks["candidate"] == 3, turned == 3
            dice = 2 * (found & right).sum() / (found.sum() + right.sum())
            assert one.figures["core"]["candidate.dice"] == pytest.approx(
                dice, abs=1e-5
            )


def test_a_previous_study_is_its_image_alone_on_its_own_grid(
    paths: Paths, folder: Path
) -> None:
    """Read by nibabel: same voxels, R, A, S, and nothing of its header."""
    key, dossier = read_key(folder), read_dossier(folder)
    given = {*read_split(paths.artifacts).test[::2]}
    assert {item.has_previous for item in dossier.items} == {True, False}
    for item in dossier.items:
        case, place = key.items[item.id].case, f"items/{item.id}/previous.nii.gz"
        assert item.has_previous is (case in given) is (place in dossier.files)
        if not item.has_previous:
            continue
        content = (folder / place).read_bytes()
        assert dossier.files[place] == hashlib.sha256(content).hexdigest()
        assert case.encode() not in gzip.decompress(content)
        shown = nib.load(folder / place)
        source = nib.load(paths.root / "earlier" / f"{case}.nii.gz")
        turned = nib.as_closest_canonical(source)
        np.testing.assert_array_equal(shown.dataobj, turned.dataobj)
        np.testing.assert_allclose(shown.affine, turned.affine)
        picture = folder / "items" / item.id / "previous-montage.png"
        assert {name for name, _ in chunks(picture)} <= PLAIN


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("unknown.nii.gz", "expected the name of a case"),
        ("", "expected the folder with previous studies"),
    ],
)
def test_a_previous_study_of_no_case_is_refused(
    paths: Paths, tmp_path: Path, name: str, words: str
) -> None:
    folder = tmp_path / "earlier"
    if name:
        folder.mkdir()
        (folder / name).touch()

    with pytest.raises(DataError, match=words):
        find_previous(folder, read_cases(paths.artifacts))


def predicted(paths: Paths, case: str) -> np.ndarray:
    """What predict made of a case, by nibabel."""
    (file,) = (paths.artifacts / "predict" / "good").glob(f"{case}.nii*")
    return np.asarray(nib.as_closest_canonical(nib.load(file)).dataobj)


def test_the_bytes_of_an_item_do_not_tell_whose_mask_it_is(
    paths: Paths, folder: Path
) -> None:
    """By RFC 1952, the header of NIfTI-1 and that of PNG, and not by our readers."""
    key = read_key(folder)
    for item in read_dossier(folder).items:
        place = folder / "items" / item.id
        names = sorted(path.name for path in place.iterdir())
        packed = [(place / f"{letter}.nii.gz").read_bytes() for letter in "ABC"]
        image = (place / "image.nii.gz").read_bytes()

        previous = ["previous-montage.png", "previous.nii.gz"]
        assert names == [
            "A.nii.gz",
            "B.nii.gz",
            "C.nii.gz",
            "image.nii.gz",
            "montage.png",
            *(previous if item.has_previous else []),
        ]
        # Flags 0: no name of a file and no comment; then four bytes of time, 0.
        assert {one[3:8] for one in [*packed, image]} == {bytes(5)}
        assert len({one[:10] for one in packed}) == 1
        headers = [gzip.decompress(one)[:HEADER] for one in [*packed, image]]
        assert len({*headers[:3]}) == 1
        for one in headers:  # data_type and db_name; descrip and aux_file; intent_name
            assert not one[4:32].strip(b"\0")
            assert not one[148:252].strip(b"\0")
            assert not one[328:344].strip(b"\0")
            assert struct.unpack_from("<3fh", one, 56) == (0, 0, 0, 0)  # intent
            assert one[348:352] == bytes(4)  # no extensions
        assert {name for name, _ in chunks(place / "montage.png")} <= PLAIN
        secret = key.items[item.id]
        for one in [*packed, image]:
            for word in (secret.case, secret.patient, *secret.letters.values()):
                assert word.encode() not in gzip.decompress(one)


def chunks(path: Path) -> list[tuple[bytes, bytes]]:
    """Type and content of each chunk of a PNG."""
    data, at, found = path.read_bytes(), 8, []
    while at < len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        found.append((name, data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


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
