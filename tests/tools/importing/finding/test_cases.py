"""What lacks a part comes in where the data may lack it, and the ledger says so."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.layout import read_dataset
from segpipe.images.formats.nifti import read_image
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import verify
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.finding.cases import find_cases
from segpipe.tools.importing.proposal.look import look
from segpipe.tools.importing.run import import_dataset
from segpipe.tools.importing.writing.ledger import read_ledger
from tests.support.projects import VERIFY
from tests.support.sources import SHAPE, box, noise, write_coco, write_nifti, write_png

FLAT = (*SHAPE[:2], 1)


def picture(path: Path, seed: int = 1) -> None:
    write_png(path, noise(seed, FLAT), drawn=False)


def write_folders(source: Path) -> str:
    for seed, case in enumerate("abc"):
        picture(source / "images" / f"{case}.png", seed)
        if case != "c":
            write_png(source / "labels" / f"{case}.png", box(1, 4, shape=FLAT))
    return "images/c.png"


def write_bids(source: Path) -> str:
    for seed, sub in enumerate(("sub-01", "sub-02", "sub-03")):
        scan = source / sub / "anat" / f"{sub}_T1w.nii.gz"
        write_nifti(scan, noise(seed), drawn=False)
        drawn = source / "derivatives" / "manual" / sub / "anat"
        if sub != "sub-03":
            write_nifti(drawn / f"{sub}_dseg.nii.gz", box(1, 4))
    return "sub-03/anat/sub-03_T1w.nii.gz"


def write_documented(source: Path) -> str:
    write_coco(source)
    picture(source / "images" / "c.png")
    return "images/c.png"


@pytest.mark.parametrize("write", [write_folders, write_bids, write_documented])
def test_an_image_without_a_label_is_left_out_by_the_proposal_and_said(
    write: Callable[[Path], str], tmp_path: Path
) -> None:
    alone, source = write(tmp_path / "s"), tmp_path / "s"
    found = look(source)
    (options,) = found.proposals

    said = import_dataset(source, tmp_path / "data", options)
    verify.run(VERIFY, networks={}, paths=Paths(tmp_path))
    (line,) = [line for line in read_ledger(tmp_path / "data") if not line.case]
    assert (line.file, line.wrote) == (alone, ())
    assert line.dropped == ("the image, which has no label",)
    assert len(read_dataset(tmp_path / "data").cases) == 2
    assert "1 images without a label were left out" in said
    assert any(alone in line for line in found.lines)


def test_an_image_without_a_label_is_refused_by_default(tmp_path: Path) -> None:
    write_folders(tmp_path)

    for folders in (
        {"images": "images", "labels": "labels"},
        {"images": "images/{case}.png", "labels": "labels/{case}.png"},
    ):
        with pytest.raises(DataError, match=r"c\.png; correct --labels, or .*-only"):
            find_cases(tmp_path, ImportOptions(**folders))
        mended = ImportOptions(**folders, labelled_only=True)
        assert len(find_cases(tmp_path, mended).cases) == 2


def test_images_elsewhere_are_listed_as_not_used(tmp_path: Path) -> None:
    for seed, place in enumerate(("train/1", "train/2", "test/3")):
        picture(tmp_path / f"{place}.png", seed)
    for case in "12":
        write_png(tmp_path / "masks" / f"{case}_mask.png", box(1, 4, shape=FLAT))
    found = look(tmp_path)

    assert "not used (1): test/3.png" in found.lines
    assert len(find_cases(tmp_path, found.proposals[0]).cases) == 2


def write_pairs(source: Path) -> ImportOptions:
    for seed, file in enumerate(("p1_T1", "p1_FLAIR", "p2_T1", "p3_T1", "p3_FLAIR")):
        write_nifti(source / "images" / f"{file}.nii.gz", noise(seed), drawn=False)
    for case in ("p1", "p2", "p3"):
        write_nifti(source / "labels" / f"{case}.nii.gz", box(1, 4))
    return ImportOptions(
        images="images", labels="labels", channel_suffixes=("FLAIR", "T1")
    )


def write_open(source: Path) -> ImportOptions:
    write_pairs(source)
    return ImportOptions(
        images="images/{case}_{channel}.nii.gz",
        labels="labels/{case}.nii.gz",
        channels=("FLAIR", "T1"),
    )


def write_sessions(source: Path) -> ImportOptions:
    """BIDS with a contrast that a subject lacks, and one that most lack."""
    files = [("sub-01", "T1w"), ("sub-01", "FLAIR"), ("sub-01", "PDw")]
    files += [("sub-02", "T1w"), ("sub-03", "FLAIR"), ("sub-03", "T1w")]
    for seed, (sub, kind) in enumerate(files):
        scan = source / sub / "anat" / f"{sub}_{kind}.nii.gz"
        write_nifti(scan, noise(seed), drawn=False)
        drawn = source / "derivatives" / "manual" / sub / "anat"
        write_nifti(drawn / f"{sub}_dseg.nii.gz", box(1, 4))
    return look(source).proposals[0]


def write_numbered(source: Path) -> ImportOptions:
    """A folder of nnU-Net v2; its channel 0 is FLAIR, and the second case lacks it."""
    import_dataset(source / "raw", source / "data", write_open(source / "raw"))
    for place in (source / "data").iterdir():
        place.rename(source / place.name)
    return ImportOptions()


@pytest.mark.parametrize(
    "write", [write_pairs, write_open, write_sessions, write_numbered]
)
def test_a_case_that_lacks_a_channel_comes_in_and_verify_may_take_it(
    write: Callable[[Path], ImportOptions], tmp_path: Path
) -> None:
    options = write(tmp_path / "s")
    said = import_dataset(tmp_path / "s", tmp_path / "data", options)
    paths = Paths(tmp_path)

    found = read_dataset(tmp_path / "data", "zeros")
    assert found.channels == ("FLAIR", "T1") or found.channels == ("FLAIR", "T1w")
    assert [case.missing for case in found.cases] == [(), (0,), ()]
    second = tmp_path / "data" / found.cases[1].images[0]
    assert second.name.endswith("_0001.nii.gz")
    seed = 2 if write is not write_sessions else 3
    assert np.array_equal(read_image(second).array[0], noise(seed))
    lines = [line.assumed for line in read_ledger(tmp_path / "data")]
    assert (f"no file of {found.channels[0]}: the case lacks it",) in lines
    assert f"1 cases lack a channel ({found.cases[1].name})" in said
    with pytest.raises(DataError, match=r"verify\.missing_channels: zeros"):
        verify.run(VERIFY, networks={}, paths=paths)
    taking = VERIFY.model_copy(update={"missing_channels": "zeros"})  # the mend
    verify.run(taking, networks={}, paths=paths)
    again = ImportOptions(**{**vars(options), "add": True})
    assert "all 3 cases" in import_dataset(tmp_path / "s", tmp_path / "data", again)


def test_a_proposal_says_which_channel_is_missing(tmp_path: Path) -> None:
    write_open(tmp_path)
    found = look(tmp_path)

    assert found.proposals[0].channels == ("FLAIR", "T1")
    assert any("a channel is missing (1): p2;" in line for line in found.lines)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": ()}, "p2_T1.*name those .*--channel FLAIR --channel T1"),
        ({"channels": ("FLAIR", "T1", "T2")}, "found none of T2; correct --channel"),
        (
            {"images": "images", "labels": "labels", "channel_suffixes": ("T1", "T2")},
            "found none of T2; correct --channel-suffix",
        ),
    ],
)
def test_a_channel_that_nobody_names_or_nobody_has_is_refused(
    options: dict[str, object], words: str, tmp_path: Path
) -> None:
    given = {**vars(write_open(tmp_path)), **options}

    with pytest.raises(DataError, match=words):
        find_cases(tmp_path, ImportOptions(**given))


def test_pictures_may_not_lack_a_channel(tmp_path: Path) -> None:
    """One file may hold all channels of a picture, so nobody sees which is missing."""
    for seed, file in enumerate(("p1_a", "p1_b", "p2_a")):
        picture(tmp_path / "images" / f"{file}.png", seed)
    for case in ("p1", "p2"):
        write_png(tmp_path / "labels" / f"{case}.png", box(1, 4, shape=FLAT))
    options = ImportOptions(
        images="images", labels="labels", channel_suffixes=("a", "b")
    )

    with pytest.raises(DataError, match=r"p2_a\.png: expected a file of each channel"):
        import_dataset(tmp_path, tmp_path / "data", options)
