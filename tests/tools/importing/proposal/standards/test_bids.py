"""A BIDS folder is proposed with its subjects, sessions, masks and tables."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.layout import read_dataset
from segpipe.images.formats.files import read_label
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import verify
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.proposal.look import look
from segpipe.tools.importing.proposal.standards.bids import find_bids
from segpipe.tools.importing.run import import_dataset
from tests.support.projects import VERIFY
from tests.support.sources import box, noise, write_nifti

PARTICIPANTS = "participant_id\tage\tsite\nsub-01\t71\tBasel\nsub-02\tn/a\tOulu\n"
NAMES = "index\tname\tcolor\n1\tcaudate\t#ff0000\n2\tputamen\t#00ff00\n"


def write_maps(source: Path) -> None:
    for seed, sub in enumerate(("sub-01", "sub-02")):
        scan = source / sub / "anat" / f"{sub}_T1w.nii.gz"
        write_nifti(scan, noise(seed), drawn=False)
        drawn = source / "derivatives" / "manual" / sub / "anat"
        write_nifti(drawn / f"{sub}_dseg.nii.gz", box(1, 4) + box(5, 7, 2))
    (source / "derivatives" / "manual" / "dseg.tsv").write_text(NAMES)
    (source / "participants.tsv").write_text(PARTICIPANTS)


def write_sessions(source: Path) -> None:
    """Two contrasts, two masks, two sessions; a bold series and one more subject."""
    for seed, sub in enumerate(("sub-01", "sub-02")):
        for ses in ("ses-a", "ses-b"):
            name = f"{sub}_{ses}"
            for place in ("anat/{}_T1w", "anat/{}_FLAIR"):
                file = source / sub / ses / f"{place.format(name)}.nii.gz"
                write_nifti(file, noise(seed), drawn=False)
            drawn = source / "derivatives" / "raters" / sub / ses / "anat"
            write_nifti(drawn / f"{name}_label-lesion_mask.nii.gz", box(1, 4))
            write_nifti(drawn / f"{name}_label-wm_mask.nii.gz", box(5, 7))
    bold = source / "sub-01" / "ses-a" / "func" / "sub-01_ses-a_task-rest_bold.nii.gz"
    write_nifti(bold, noise(9), drawn=False)


BIDS = {
    "label maps": (
        write_maps,
        ImportOptions(
            images="{case}/anat/{case}_T1w.nii.gz",
            labels="derivatives/manual/{case}/anat/{case}_dseg.nii.gz",
            structures={"caudate": 1, "putamen": 2},
        ),
        {"sub-01": "sub-01", "sub-02": "sub-02"},
    ),
    "masks of sessions": (
        write_sessions,
        ImportOptions(
            images="*/*/anat/{case}_{channel}.nii.gz",
            labels="derivatives/raters/*/*/anat/{case}_label-{structure}_mask.nii.gz",
            channels=("FLAIR", "T1w"),
            structures={"lesion": ("lesion",), "wm": ("wm",)},
            patient_pattern="(sub-[^_]+).*",
        ),
        {f"sub-0{n}_ses-{s}": f"sub-0{n}" for n in (1, 2) for s in "ab"},
    ),
}


@pytest.mark.parametrize("name", BIDS)
def test_a_bids_folder_is_proposed_and_comes_in_verified(
    name: str, tmp_path: Path
) -> None:
    write, wanted, patients = BIDS[name]
    write(tmp_path / "s")
    table = tmp_path / "s" / "participants.tsv"
    if table.is_file():
        wanted = ImportOptions(**{**vars(wanted), "patients": table})
    found = look(tmp_path / "s")

    assert found.proposals == (wanted,)
    import_dataset(tmp_path / "s", tmp_path / "data", wanted)
    verify.run(VERIFY, networks={}, paths=Paths(tmp_path))
    cases = read_dataset(tmp_path / "data").cases
    assert {case.name: case.patient for case in cases} == patients
    drawn = read_label(
        tmp_path / "data" / "labelsTr" / f"{next(iter(patients))}.nii.gz"
    )
    assert np.array_equal(drawn.array, box(1, 4) + box(5, 7, 2))


def test_participants_become_columns_of_the_patients(tmp_path: Path) -> None:
    write_maps(tmp_path / "s")
    (options,) = look(tmp_path / "s").proposals
    import_dataset(tmp_path / "s", tmp_path / "data", options)

    assert (tmp_path / "data" / "patients.csv").read_text().split() == [
        "case,patient,age,site",
        "sub-01,sub-01,71,Basel",
        "sub-02,sub-02,,Oulu",
    ]
    table = tmp_path / "s" / "participants.tsv"
    table.write_text(PARTICIPANTS.replace("sub-02", "sub-03"))
    with pytest.raises(DataError, match=r"expected a row of sub-02.*--patient-pattern"):
        import_dataset(tmp_path / "s", tmp_path / "other", options)


def test_without_derivatives_it_is_no_labelled_bids() -> None:
    assert find_bids(["sub-01/anat/sub-01_T1w.nii.gz", "a/b.nii"]) == ()
