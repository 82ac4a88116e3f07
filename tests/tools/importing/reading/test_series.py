"""Masks lie on their DICOM series, as SimpleITK reads both; else they are refused."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from segpipe.dataset.layout import read_dataset
from segpipe.project.errors import DataError
from segpipe.project.paths import Paths
from segpipe.stages import verify
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.reading.series import (
    list_folders,
    pseudonym_of,
    read_folder,
    read_pseudonym,
)
from segpipe.tools.importing.run import import_dataset
from tests.support.dicoms import oblique, write_series
from tests.support.projects import VERIFY

OPTIONS = ImportOptions(
    images="dicom/{case}/", labels="masks/{case}.nii.gz", structures={"bone": 1}
)


def scan(folder: Path) -> SimpleITK.Image:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def write_mask(source: Path, case: str, *, flip: bool, shift_mm: float = 0.0) -> None:
    """The voxels above the median, as SimpleITK has them; flipped as by dcm2niix."""
    image = scan(source / "dicom" / case)
    drawn = image > float(np.median(SimpleITK.GetArrayFromImage(image)))
    if flip:
        drawn = SimpleITK.Flip(drawn, [False, True, False], False)
    drawn.SetOrigin(np.add(drawn.GetOrigin(), (shift_mm, 0, 0)).tolist())
    (source / "masks").mkdir(exist_ok=True)
    SimpleITK.WriteImage(drawn, str(source / "masks" / f"{case}.nii.gz"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A straight and an oblique series, the second with a mask of turned axes."""
    source = tmp_path_factory.mktemp("source")
    write_series(source / "dicom" / "p1")
    turn = oblique((5.0, -8.0, 3.0))
    write_series(source / "dicom" / "p2", directions=turn)
    write_mask(source, "p1", flip=False)
    write_mask(source, "p2", flip=True)
    return source


def test_masks_come_in_on_the_grid_of_their_series(made: Path, tmp_path: Path) -> None:
    import_dataset(made, tmp_path / "data", OPTIONS)
    verify.run(VERIFY, networks={}, paths=Paths(tmp_path))
    for case in ("p1", "p2"):
        folder = tmp_path / "data"
        image = SimpleITK.ReadImage(str(folder / "imagesTr" / f"{case}_0000.nii.gz"))
        label = SimpleITK.ReadImage(str(folder / "labelsTr" / f"{case}.nii.gz"))
        grey = SimpleITK.GetArrayFromImage(image)
        drawn = SimpleITK.GetArrayFromImage(label)

        assert np.array_equal(drawn, grey > np.median(grey))
        original = scan(made / "dicom" / case)
        assert np.allclose(image.GetOrigin(), original.GetOrigin(), atol=1e-3)
        assert np.allclose(label.GetDirection(), original.GetDirection(), atol=1e-5)
    cases = read_dataset(tmp_path / "data").cases
    assert len({case.patient for case in cases}) == 1  # one PatientID in both


def test_a_mask_of_another_place_or_shape_is_refused(
    made: Path, tmp_path: Path
) -> None:
    source = shutil.copytree(made, tmp_path / "s")
    write_mask(source, "p1", flip=False, shift_mm=0.5)
    with pytest.raises(DataError, match=r"p1\.nii\.gz.* 0\.5 mm off; export the mask"):
        import_dataset(source, tmp_path / "data", OPTIONS)
    image = SimpleITK.ReadImage(str(source / "masks" / "p1.nii.gz"))
    SimpleITK.WriteImage(image[::2, :, :], str(source / "masks" / "p1.nii.gz"))
    with pytest.raises(DataError, match=r"p1\.nii\.gz: expected the grid of its DICOM"):
        import_dataset(source, tmp_path / "data", OPTIONS)
    assert not (tmp_path / "data").exists()


def test_a_folder_of_two_series_is_refused(made: Path) -> None:
    assert list(list_folders(made)) == ["dicom/", "dicom/p1/", "dicom/p2/"]
    assert read_folder(made / "dicom" / "p1").grid.unit == "mm"
    with pytest.raises(DataError, match="a folder of its own"):
        read_folder(made / "masks")


def test_the_pseudonym_is_the_digest_of_the_id(made: Path) -> None:
    assert pseudonym_of("4711") == hashlib.sha256(b"4711").hexdigest()[:12]
    assert len(read_pseudonym(made / "dicom" / "p1")) == 12
