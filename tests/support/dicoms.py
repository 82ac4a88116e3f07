"""DICOM series with known voxels and places, written by pydicom alone."""

import shutil
from collections.abc import Callable
from pathlib import Path

import gdcm
import highdicom
import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian
from scipy.spatial.transform import Rotation

from segpipe.images.dicom.seg.writing import Algorithm, write_seg
from segpipe.images.dicom.series import DicomImage, find_series, read_series
from segpipe.images.values import Legend

SERIES = "1.2.826.0.1.3680043.10.99.1"
SHAPE = (5, 4, 6)  # columns, rows, slices
VOXELS = np.random.default_rng(0).integers(-1000, 1500, SHAPE).astype(np.int16)
SPACING = (0.75, 1.25, 2.5)
ORIGIN = (-90.5, 126.25, -72.0)  # LPS+
# All of the patient that a header names; none of it may leave it in words.
SECRETS = ("Oswald", "Quietman", "MRN-55021", "19481103")
ALGORITHM = Algorithm("segpipe", "0.1.0", "f" * 64)
STRUCTURES = {0: "background", 3: "left hippocampus", 7: "liver vessels"}
Change = Callable[[Dataset, int], None]


def oblique(degrees: tuple[float, float, float]) -> np.ndarray:
    """Directions of i, j, k (columns) in LPS+."""
    return np.asarray(Rotation.from_euler("xyz", degrees, degrees=True).as_matrix())


def header(number: int) -> Dataset:
    """One CT slice without place and pixels."""
    slice_ = Dataset()
    slice_.file_meta = FileMetaDataset()
    slice_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice_.SOPClassUID = CTImageStorage
    slice_.SOPInstanceUID = UID(f"{SERIES}.7.{number + 1}")
    slice_.StudyInstanceUID = UID("1.2.826.0.1.3680043.10.99.2")
    slice_.SeriesInstanceUID = UID(SERIES)
    slice_.FrameOfReferenceUID = UID("1.2.826.0.1.3680043.10.99.3")
    slice_.Modality = "CT"
    slice_.Manufacturer = "phantom"
    slice_.PatientName = f"{SECRETS[1]}^{SECRETS[0]}"
    slice_.PatientID = SECRETS[2]
    slice_.PatientBirthDate = SECRETS[3]
    slice_.PatientSex = "M"
    slice_.PatientAge = "070Y"
    slice_.StudyDate, slice_.StudyTime = "20240102", "030405"
    slice_.StudyID, slice_.AccessionNumber = "1", "2"
    slice_.ReferringPhysicianName = ""
    slice_.SeriesNumber, slice_.InstanceNumber = 3, number + 1
    slice_.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    slice_.PositionReferenceIndicator = ""
    slice_.RescaleSlope, slice_.RescaleIntercept = 1, 0
    slice_.SamplesPerPixel = 1
    slice_.PhotometricInterpretation = "MONOCHROME2"
    slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit = 16, 16, 15
    slice_.PixelRepresentation = 1
    return slice_


def write_series(
    folder: Path,
    *,
    voxels: np.ndarray = VOXELS,
    directions: np.ndarray | None = None,
    step: np.ndarray | None = None,
    change: Change | None = None,
    slices: list[int] | None = None,
    stem: str = "slice",
) -> list[Path]:
    """Write the volume as slices whose names are in no order.

    Args:
        folder: Made if need be.
        voxels: int16, axes i, j, k.
        directions: Of i, j, k in LPS+, as columns.
        step: From slice to slice in LPS+ mm, if not along the normal by the spacing.
        change: Alters the header of slice k before it is written.
        slices: Which to write, if not all.
        stem: How the names begin.

    Returns:
        The files in the order of k.
    """
    folder.mkdir(parents=True, exist_ok=True)
    turn = np.eye(3) if directions is None else directions
    way = turn[:, 2] * SPACING[2] if step is None else step
    names = np.random.default_rng(1).permutation(voxels.shape[2])
    files = []
    for k in range(voxels.shape[2]) if slices is None else slices:
        slice_ = header(k)
        slice_.Columns, slice_.Rows = voxels.shape[0], voxels.shape[1]
        slice_.PixelSpacing = [SPACING[1], SPACING[0]]
        slice_.SliceThickness = SPACING[2]
        cosines = turn.T[:2].ravel()
        slice_.ImageOrientationPatient = [f"{n:.12f}" for n in cosines]
        slice_.ImagePositionPatient = [f"{n:.10f}" for n in ORIGIN + k * way]
        slice_.PixelData = np.ascontiguousarray(voxels[:, :, k].T).tobytes()
        if change is not None:
            change(slice_, k)
        path = folder / f"{stem}{names[k]:03d}.dcm"
        slice_.save_as(path, enforce_file_format=True)
        files.append(path)
    return files


def load(folder: Path, *, resample_tilt: bool = False) -> DicomImage:
    """The only series of a folder."""
    (series,) = find_series(folder.iterdir())
    return read_series(series, resample_tilt=resample_tilt)


def affine(directions: np.ndarray) -> np.ndarray:
    """Voxels to RAS+ of what write_series writes."""
    matrix = np.eye(4)
    matrix[:3, :3] = directions @ np.diag(SPACING)
    matrix[:3, 3] = ORIGIN
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix


def recompress(path: Path, syntax: int) -> None:
    """Compress a file by gdcm."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    changer = gdcm.ImageChangeTransferSyntax()
    changer.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    changer.SetInput(reader.GetImage())
    assert changer.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(changer.GetOutput())
    assert writer.Write()


def labels() -> np.ndarray:
    """Two structures; the first, third and last slice are empty."""
    array = np.zeros(SHAPE, np.int16)
    array[1:4, 0:2, 1] = 3
    array[0, 3, 3:5] = 3
    array[2:5, 2:4, 4] = 7
    return array


def legend(structures: dict[int, str]) -> Legend:
    """The legend of structures by their values."""
    named = sorted({0: "background", **structures}.items())
    return Legend(tuple(name for _, name in named), tuple(n for n, _ in named), None)


def numbered(array: np.ndarray) -> np.ndarray:
    """The labels as their segments are numbered."""
    return np.select([array == 3, array == 7], [1, 2])


def write(
    path: Path, source: DicomImage, array: np.ndarray, *, digest: str = "f" * 64
) -> None:
    """Write two structures as a segmentation."""
    write_seg(
        path,
        array,
        source,
        legend=legend(STRUCTURES),
        algorithm=Algorithm("segpipe", "0.1.0", digest),
    )


def write_objects(
    folder: Path, *volumes: np.ndarray, turn: np.ndarray | None = None, parts: int = 1
) -> list[Path]:
    """Write volumes as multi-frame objects of one series, their frames in no order.

    Args:
        folder: Made if need be.
        volumes: int16, axes i, j, k.
        turn: Directions of i, j, k in LPS+, as columns.
        parts: Objects of each volume.
    """

    def change(slice_: Dataset, k: int) -> None:
        slice_.PatientOrientation = ["L", "P"]

    folder.mkdir(parents=True, exist_ok=True)
    objects = []
    for voxels in volumes:
        single = folder / "single"
        files = write_series(single, voxels=voxels, directions=turn, change=change)
        for part in range(parts):
            frames = [dcmread(file) for file in files[::-1][part::parts]]
            uid = f"1.2.3.4.5.{len(objects)}"
            multi = highdicom.legacy.LegacyConvertedEnhancedCTImage(
                frames, SERIES, 1, uid, 1
            )
            objects.append(folder / f"{len(objects)}.dcm")
            multi.save_as(objects[-1])
        shutil.rmtree(single)
    return objects


def multi_frame(folder: Path) -> DicomImage:
    """The same series as one object."""
    write_objects(folder / "multi", VOXELS, turn=oblique((10.8, -3, 25)))
    return load(folder / "multi")


def two_objects(folder: Path) -> DicomImage:
    """The same series as two objects, every other slice in each."""
    turn = oblique((10.8, -3, 25))
    write_objects(folder / "objects", VOXELS, turn=turn, parts=2)
    return load(folder / "objects")


def straight(folder: Path) -> DicomImage:
    """An axial series."""
    write_series(folder)
    return load(folder)


def turned(folder: Path) -> DicomImage:
    """An oblique series."""
    write_series(folder, directions=oblique((10.8, -3, 25)))
    return load(folder)


def tilted(folder: Path) -> DicomImage:
    """A series of a tilted gantry, straightened."""
    write_series(folder, step=np.array([0, 0.5, 2.5]))
    return load(folder, resample_tilt=True)
