"""The look proposes the command that a person who knows the set would type."""

import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from segpipe.dataset.layout import read_dataset
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import verify
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.proposal.look import look
from segpipe.tools.importing.run import import_dataset
from tests.support.dicoms import write_series
from tests.support.phantoms import write_dataset
from tests.support.projects import VERIFY
from tests.support.sources import (
    box,
    noise,
    write_nifti,
    write_observers,
    write_png,
    write_slicer,
    write_structures,
)

REAL = os.environ.get("SEGPIPE_REAL_DATA")
PAIR = {"images": "images", "labels": "labels"}
ONE = {"structure_1": 1}


def write_axons(source: Path) -> None:
    """Stray greys, and masks that share a row."""
    flat = (12, 10, 1)
    write_png(source / "a.png", noise(0, flat), drawn=False)
    outer, inner = box(1, 7, 255, flat), box(6, 9, 255, flat)
    outer[1, 2] = 218
    write_png(source / "a_myelin.png", outer)
    write_png(source / "a_axon.png", inner)


def write_cells(source: Path) -> None:
    """Cellpose and napari write _masks beside the image."""
    for seed in range(3):
        write_png(source / f"{seed}.png", noise(seed, (30, 30, 1)), drawn=False)
        ids = np.zeros((30, 30, 1), np.uint16)
        for number in range((6, 12, 25)[seed]):
            i, j = divmod(number, 5)
            ids[6 * i : 6 * i + 4, 6 * j : 6 * j + 4] = number + 1
        write_png(source / f"{seed}_masks.png", ids)


def write_slicer_cases(source: Path) -> None:
    for case in ("p1", "p2"):
        write_nifti(source / f"{case}.nii.gz", noise(1), drawn=False)
        write_slicer(source / f"{case}.seg.nrrd", ("liver",), (box(1, 4),))


def write_bits(source: Path) -> None:
    flat = (12, 10, 1)
    for case, value in (("a", 1), ("b", 255)):
        write_png(source / "images" / f"{case}.png", noise(1, flat), drawn=False)
        write_png(source / "labels" / f"{case}.png", box(1, 4, value, flat))


FOLDERS = {
    "TotalSegmentator": (
        write_structures,
        ImportOptions(
            images="{case}/ct.nii.gz",
            labels="{case}/segmentations/{structure}.nii.gz",
            channels=("CT",),
            structures={
                "kidney_left": ("kidney_left",),
                "kidney_right": ("kidney_right",),
                "liver": ("liver",),
            },
        ),
    ),
    "observers": (
        write_observers,
        ImportOptions(
            images="{case}.png",
            labels="{case}_{observer}.png",
            structures=ONE,
            reference="1stHO",
            patient_pattern="(.+?)[-_ ]?[LR]",
        ),
    ),
    "axons": (
        write_axons,
        ImportOptions(
            images="{case}.png",
            labels="{case}_{structure}.png",
            structures={"myelin": ("myelin",), "axon": ("axon",)},
            binarize=128.0,
            overlap="last",
        ),
    ),
    "Cellpose": (
        write_cells,
        ImportOptions(
            images="{case}.png",
            labels="{case}_masks.png",
            structures=ONE,
            instances=True,
        ),
    ),
    "3D Slicer": (
        write_slicer_cases,
        ImportOptions(
            images="{case}.nii.gz",
            labels="{case}.seg.nrrd",
            structures={"liver": ("liver",)},
        ),
    ),
    "1-bit and 8-bit": (
        write_bits,
        ImportOptions(**PAIR, structures={"structure_1": (1, 255)}),
    ),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_proposed_as_it_lies_and_comes_in_verified(
    name: str, tmp_path: Path
) -> None:
    write, wanted = FOLDERS[name]
    write(tmp_path / "source")
    found = look(tmp_path / "source")

    assert found.proposals == (wanted,)
    import_dataset(tmp_path / "source", tmp_path / "data", wanted)
    verify.run(VERIFY, networks={}, paths=Paths(tmp_path))


def test_where_two_files_may_be_the_label_both_are_proposed(tmp_path: Path) -> None:
    write_nifti(tmp_path / "i" / "t2.nii", noise(0), drawn=False)
    write_nifti(tmp_path / "l" / "t2_seg.nii", box(1, 4))
    write_nifti(tmp_path / "l" / "t2_seg_levels.nii", box(1, 2, 3) + box(3, 4, 4))
    found = look(tmp_path)

    assert [one.labels for one in found.proposals] == [
        "l/{case}_seg.nii",
        "l/{case}_seg_levels.nii",
    ]
    assert found.doubt == "several files may be the label of a case"


def test_what_says_all_itself_needs_no_answer(tmp_path: Path) -> None:
    write_dataset(tmp_path, cases=1)

    assert look(tmp_path).certain


def test_dicom_beside_other_files_needs_no_answer(tmp_path: Path) -> None:
    write_series(tmp_path / "ct")
    write_png(tmp_path / "preview.png", noise(0, (12, 10, 1)), drawn=False)

    assert look(tmp_path).certain
    (tmp_path / "preview.png").unlink()
    assert look(tmp_path).certain


def test_data_sets_of_hdf5_are_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["volume"] = noise(0)
        file["cells"] = box(1, 4)
    assert not look(tmp_path).proposals
    assert "which is the image" in look(tmp_path).lines[-1]
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file.move("cells", "cell_labels")
    for place in (tmp_path, tmp_path / "a.h5"):
        (found,) = look(place).proposals
        assert (found.image_key, found.label_key) == ("volume", "cell_labels")
        assert found.structures == ONE


def test_nothing_is_answered_with_what_was_seen(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    assert look(tmp_path).proposals == ()
    assert "no image" in look(tmp_path).lines[0]
    write_png(tmp_path / "a.png", noise(0, (12, 10, 1)), drawn=False)
    assert "no images with labels" in look(tmp_path).lines[-1]
    with pytest.raises(DataError, match="found nothing"):
        look(tmp_path / "other")


LEVELS = {f"structure_{value}": value for value in (2, 3, 4, 5)}
CT = ("CT",)
REAL_SETS: dict[str, list[ImportOptions]] = {
    "2d_chasedb1": [
        ImportOptions(
            images="images/{case}.jpg",
            labels="labels/{case}_{observer}.png",
            structures=ONE,
            reference="1stHO",
            patient_pattern="(.+?)[-_ ]?[LR]",
        )
    ],
    "2d_axon_sem": [
        ImportOptions(
            images="images/{case}.png",
            labels="labels/{case}_seg-{structure}-manual.png",
            structures={"myelin": ("myelin",), "axon": ("axon",)},
            binarize=128.0,
            overlap="last",
        )
    ],
    "3d_totalseg_ct": [
        ImportOptions(
            images="images/{case}_ct_sm.nii.gz",
            labels="labels/{case}_seg.nii.gz",
            channels=CT,
        )
    ],
    "3d_ms_lesion": [
        ImportOptions(
            images="images/{case}_{channel}.nii.gz",
            labels="labels/{case}_GOLD_STANDARD.nii.gz",
            channels=("FLAIR", "T1"),
            structures=ONE,
        )
    ],
    "3d_msd_spleen_crop": [
        ImportOptions(
            images="images/{case}.nii.gz",
            labels="labels/{case}_seg-manual.nii.gz",
            channels=CT,
            structures=ONE,
        )
    ],
    "3d_sct_spinalcord": [
        ImportOptions(
            images="images/{case}.nii.gz",
            labels="labels/{case}_seg-manual.nii.gz",
            structures=ONE,
        ),
        ImportOptions(
            images="images/{case}.nii.gz",
            labels="labels/{case}_seg-manual_labeled.nii.gz",
            structures=LEVELS,
        ),
    ],
    "2d_stardist": [
        ImportOptions(
            images="images/img{case}.tif",
            labels="labels/mask{case}.tif",
            structures=ONE,
            instances=True,
        )
    ],
    "3d_stardist": [
        ImportOptions(
            images="images/img{case}.tif",
            labels="labels/mask{case}.tif",
            structures=ONE,
            instances=True,
        )
    ],
    "2d_dsb2018": [ImportOptions(**PAIR, structures=ONE, instances=True)],
    "3d_msd_hippocampus": [
        ImportOptions(**PAIR, structures={"structure_1": 1, "structure_2": 2})
    ],
    "2d_isbi2012_em": [ImportOptions(**PAIR, structures={"structure_1": 255})],
    "3d_plantseg_nuclei": [
        ImportOptions(images="images", structures=ONE, instances=True)
    ],
    "3d_plantseg_ovule": [
        ImportOptions(images="images", structures=ONE, instances=True)
    ],
}
WHOLE = {"2d_dsb2018", "3d_msd_hippocampus"}  # come in whole in ../test_run.py
SOME = 20  # cases of them
SMALL = {"2d_axon_sem", "3d_totalseg_ct", "3d_sct_spinalcord", "2d_stardist"}


@pytest.mark.skipif(REAL is None, reason="SEGPIPE_REAL_DATA is not set")
@pytest.mark.parametrize("name", REAL_SETS)
def test_a_real_set_is_proposed_as_a_person_would_type(name: str) -> None:
    assert list(look(Path(REAL or "") / name).proposals) == REAL_SETS[name]


def copy_some(source: Path, goal: Path) -> Path:
    """The first cases of a pair of folders, whose files have the same names."""
    names = [file.name for file in sorted((source / "images").iterdir())][:SOME]
    for folder in ("images", "labels"):
        (goal / folder).mkdir(parents=True)
        for name in names:
            shutil.copyfile(source / folder / name, goal / folder / name)
    return goal


@pytest.mark.skipif(REAL is None, reason="SEGPIPE_REAL_DATA is not set")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in SMALL else pytest.mark.slow)
        for name in REAL_SETS
    ],
)
def test_the_proposal_of_a_real_set_is_accepted_by_verify(
    name: str, tmp_path: Path
) -> None:
    source = Path(REAL or "") / name
    if name in WHOLE:
        source = copy_some(source, tmp_path / "some")
    for number, options in enumerate(REAL_SETS[name]):
        place = tmp_path / str(number)
        import_dataset(source, place / "data", options)

        assert not read_dataset(place / "data").faults
        verify.run(VERIFY, networks={}, paths=Paths(place))
