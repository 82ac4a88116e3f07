"""The DICOM door: a series is one volume in its place, or refused with the reason."""

import os
from pathlib import Path

import gdcm
import highdicom
import numpy as np
import pytest
import SimpleITK
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    MPEG2MPML,
    HTJ2KLossless,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
)

from segpipe.images.dicom.file import is_dicom
from segpipe.images.dicom.series import DicomImage, find_series, read_series
from segpipe.project.errors import DataError
from tests.support.dicoms import (
    ORIGIN,
    SECRETS,
    SERIES,
    SPACING,
    VOXELS,
    affine,
    load,
    oblique,
    recompress,
    write_series,
)

TURNS = [(0, 0, 0), (90, 0, 0), (0, 90, 180), (10.8, -3, 25)]


def itk_image(files: list[Path]) -> SimpleITK.Image:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames([str(file) for file in files])
    return reader.Execute()


def assert_same_as_itk(found: DicomImage, image: SimpleITK.Image) -> None:
    """Voxels by their world coordinates: ITK may run k the other way."""
    array = SimpleITK.GetArrayFromImage(image).T
    spots = np.argwhere(np.ones(found.image.grid.shape, bool)).astype(np.float64)
    spots = spots[:: max(1, len(spots) // 2000)]
    world = found.image.grid.points_of(spots) * (-1, -1, 1)
    theirs = np.rint(
        [image.TransformPhysicalPointToContinuousIndex(p) for p in world.tolist()]
    ).astype(int)
    back = [image.TransformIndexToPhysicalPoint(p) for p in theirs.tolist()]

    assert np.abs(world - np.array(back)).max() < 0.01
    i, j, k = spots.astype(int).T
    assert (found.image.array[0][i, j, k] == array[tuple(theirs.T)]).all()
    assert found.image.array[0].sum(dtype=np.float64) == array.sum(dtype=np.float64)


@pytest.mark.parametrize("degrees", TURNS)
def test_slices_under_shuffled_names_lie_where_they_were_taken(
    degrees: tuple[float, float, float], tmp_path: Path
) -> None:
    turn = oblique(degrees)
    files = write_series(tmp_path, directions=turn)

    found = load(tmp_path)

    assert (found.image.array == VOXELS[None]).all()
    assert np.abs(found.image.grid.affine - affine(turn)).max() < 1e-6
    assert found.warnings == ()
    assert [h.InstanceNumber for h in found.slices] == [1, 2, 3, 4, 5, 6]
    assert "PixelData" not in found.slices[0]
    assert_same_as_itk(found, itk_image(files))


def test_slope_and_intercept_are_each_slices_own(tmp_path: Path) -> None:
    def change(slice_: Dataset, k: int) -> None:
        slice_.RescaleSlope, slice_.RescaleIntercept = 0.5 * (k + 1), -1024

    write_series(tmp_path, change=change)

    found = load(tmp_path).image.array[0]

    assert found.dtype == np.float32
    assert (found == VOXELS * 0.5 * np.arange(1, 7) - 1024).all()


def move(slice_: Dataset, mm: float, axis: int = 2) -> None:
    place = [float(n) for n in slice_.ImagePositionPatient]
    place[axis] += mm
    slice_.ImagePositionPatient = place


def missing(folder: Path) -> None:
    write_series(folder, slices=[0, 1, 2, 4, 5])


def two_missing(folder: Path) -> None:
    write_series(folder, slices=[0, 1, 4, 5])


def duplicate(folder: Path) -> None:
    write_series(folder)
    write_series(folder, slices=[1], stem="copy")


def uneven(folder: Path) -> None:
    write_series(folder, change=lambda s, k: move(s, 0.6 if k == 3 else 0))


def beside(folder: Path) -> None:
    write_series(folder, change=lambda s, k: move(s, 2.0 if k == 3 else 0, axis=0))


def tilted(folder: Path) -> None:
    write_series(folder, step=np.array([0, 0.5, 2.5]))


def other_shape(folder: Path) -> None:
    write_series(folder)
    write_series(folder, voxels=VOXELS[:4], slices=[5], stem="localizer")


def other_orientation(folder: Path) -> None:
    write_series(folder, slices=[0, 1, 2])
    write_series(folder, directions=oblique((90, 0, 0)), slices=[3], stem="localizer")


def other_spacing(folder: Path) -> None:
    def change(slice_: Dataset, k: int) -> None:
        slice_.PixelSpacing = [1, 1] if k == 2 else slice_.PixelSpacing

    write_series(folder, change=change)


def without(keyword: str):
    def write(folder: Path) -> None:
        write_series(folder, change=lambda s, k: delattr(s, keyword))

    return write


def no_class(folder: Path) -> None:
    for file in write_series(folder):
        slice_ = dcmread(file)
        del slice_.SOPClassUID
        slice_.save_as(file)


def with_value(keyword: str, value: object):
    def write(folder: Path) -> None:
        write_series(folder, change=lambda s, k: setattr(s, keyword, value))

    return write


def no_thickness(folder: Path) -> None:
    write_series(folder, slices=[0], change=lambda s, k: delattr(s, "SliceThickness"))


def cut_off(folder: Path) -> None:
    file = write_series(folder)[2]
    file.write_bytes(file.read_bytes()[:-8])


def cut_in_the_header(folder: Path) -> None:
    file = write_series(folder)[2]
    file.write_bytes(file.read_bytes()[:-300])


def colour(folder: Path) -> None:
    def change(slice_: Dataset, k: int) -> None:
        slice_.SamplesPerPixel, slice_.PlanarConfiguration = 3, 0
        slice_.PhotometricInterpretation = "RGB"
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit = 8, 8, 7
        slice_.PixelData = bytes(3 * 20)

    write_series(folder, change=change)


def undecodable(syntax: str):
    def change(slice_: Dataset, k: int) -> None:
        slice_.file_meta.TransferSyntaxUID = syntax
        slice_.PixelData = encapsulate([slice_.PixelData])

    def write(folder: Path) -> None:
        write_series(folder, change=change)

    return write


def damaged_rle(folder: Path) -> None:
    for path in write_series(folder):
        slice_ = dcmread(path)
        slice_.compress(RLELossless)
        data = bytearray(slice_.PixelData)
        data[-12:] = bytes(12)
        slice_.PixelData = bytes(data[:40])
        slice_["PixelData"].is_undefined_length = True
        slice_.save_as(path)


def cut_off_jpeg(folder: Path) -> None:
    """gdcm fills what lacks with grey, in silence."""
    files = write_series(folder, voxels=np.tile(VOXELS, (4, 4, 1)))
    for file in files:
        recompress(file, gdcm.TransferSyntax.JPEGLosslessProcess14_1)
    slice_ = dcmread(files[2])
    (frame,) = generate_frames(slice_.PixelData, number_of_frames=1)
    slice_.PixelData = encapsulate([frame[: len(frame) // 2]])
    slice_.save_as(files[2])


def wide_jpeg(folder: Path) -> None:
    """gdcm would write beyond its memory."""
    files = write_series(folder, voxels=np.tile(VOXELS, (4, 4, 1)))
    for file in files:
        recompress(file, gdcm.TransferSyntax.JPEGLosslessProcess14_1)
        content = bytearray(file.read_bytes())
        content[content.index(b"\xff\xc3") + 5] = 200
        file.write_bytes(content)


def cine(folder: Path) -> None:
    def change(slice_: Dataset, k: int) -> None:
        slice_.SOPClassUID = UltrasoundMultiFrameImageStorage
        slice_.NumberOfFrames = 6
        slice_.PixelData = VOXELS.tobytes()

    write_series(folder, slices=[0], change=change)


def report(folder: Path) -> None:
    write_series(folder, slices=[0], change=lambda s, k: setattr(s, "Modality", "SR"))


def strange_patient(folder: Path) -> None:
    """A birth date that is none makes pydicom quote it."""

    def change(slice_: Dataset, k: int) -> None:
        slice_.PatientBirthDate = f"{SECRETS[3]}-{SECRETS[0]}"
        slice_.PatientAge = SECRETS[1]
        move(slice_, 0.6 if k == 3 else 0)

    with pytest.warns(UserWarning, match="Invalid value"):
        write_series(folder, change=change)


REFUSED = {
    "missing": (missing, "found 1 missing between -67.00 mm ("),
    "two missing": (two_missing, "found 2 missing between -69.50 mm ("),
    "duplicate": (duplicate, "found a duplicate of "),
    "uneven": (uneven, "found an uneven gap of 3.1 mm between"),
    "beside": (beside, "found this one 2 mm beside it"),
    "tilted": (tilted, "11.31 degrees off it (gantry tilt)"),
    "shape": (other_shape, "(mixed series)"),
    "orientation": (other_orientation, "(mixed series)"),
    "spacing": (other_spacing, "expected the spacing (0.75, 1.25) of"),
    "no position": (without("ImagePositionPatient"), "ImagePositionPatient, found"),
    "no orientation": (
        without("ImageOrientationPatient"),
        "expected ImageOrientationPatient, found none",
    ),
    "no spacing": (without("PixelSpacing"), "expected PixelSpacing, found none"),
    "no rows": (without("Rows"), "expected Rows, found none"),
    "no pixels": (without("PixelData"), "expected whole pixel data"),
    "no class": (no_class, "expected SOPClassUID, found none"),
    "no series": (without("SeriesInstanceUID"), "expected SeriesInstanceUID"),
    "skew": (
        with_value("ImageOrientationPatient", [1, 0, 0, 0.5, 0.8, 0]),
        "unit vectors at right angles",
    ),
    "zero spacing": (with_value("PixelSpacing", [0, 1]), "a size above 0 mm"),
    "zero slope": (with_value("RescaleSlope", 0), "a RescaleSlope, found 0"),
    "look-up": (with_value("ModalityLUTSequence", [Dataset()]), "look-up table"),
    "no thickness": (no_thickness, "SpacingBetweenSlices or SliceThickness"),
    "cut off": (cut_off, "expected whole pixel data"),
    "cut in the header": (cut_in_the_header, "expected "),
    "colour": (colour, "found 3 (colour)"),
    "MPEG2": (undecodable(MPEG2MPML), "found MPEG2 Main Profile"),
    "HTJ2K": (undecodable(HTJ2KLossless), "found High-Throughput JPEG 2000"),
    "damaged RLE": (damaged_rle, "expected whole pixel data (RLE Lossless)"),
    "cut off JPEG": (cut_off_jpeg, "a JPEG that is cut off or damaged"),
    "wide JPEG": (wide_jpeg, "a JPEG frame of (51216, 20) pixels of 16 bits"),
    "cine": (cine, "0 functional groups (Ultrasound Multi-frame Image"),
    "report": (report, "a series of images, found SR"),
    "strange patient": (strange_patient, "found an uneven gap"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_has_the_reason_and_never_the_patient(
    name: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    write, words = REFUSED[name]
    write(tmp_path)
    caplog.clear()
    recwarn.clear()

    with pytest.raises(DataError) as caught:
        load(tmp_path)

    told = str(caught.value)
    assert told.startswith(f"{tmp_path}/")
    assert ": expected " in told
    assert words in told
    assert "; " in told  # the mend
    everything = told + caplog.text + "".join(str(w.message) for w in recwarn)
    everything += "".join(capfd.readouterr())
    assert not any(secret in everything for secret in SECRETS)


def test_a_multi_frame_series_is_the_series_that_it_was_made_of(tmp_path: Path) -> None:
    def change(slice_: Dataset, k: int) -> None:
        slice_.RescaleSlope, slice_.RescaleIntercept = 2, -1024
        slice_.PatientOrientation = ["L", "P"]

    files = write_series(
        tmp_path / "single", directions=oblique((10.8, -3, 25)), change=change
    )
    single = load(tmp_path / "single")
    multi = highdicom.legacy.LegacyConvertedEnhancedCTImage(
        [dcmread(file) for file in files[::-1]], "1.2.3.4", 1, "1.2.3.4.5", 1
    )
    (tmp_path / "multi").mkdir()
    multi.save_as(tmp_path / "multi" / "all.dcm")

    found = load(tmp_path / "multi")

    assert (found.image.array == single.image.array).all()
    assert (found.image.array[0] == VOXELS * 2.0 - 1024).all()
    assert found.image.grid.matches(single.image.grid, tolerance=1e-6)
    assert len(found.slices) == 1


def test_files_are_grouped_by_their_series(tmp_path: Path) -> None:
    def change(slice_: Dataset, k: int) -> None:
        slice_.SeriesInstanceUID, slice_.Modality = "1.2.3", "SEG"

    files = write_series(tmp_path)
    other = write_series(tmp_path, slices=[0], stem="other", change=change)

    one, two = find_series([*files, *other])

    assert (one.uid, one.modality, one.files) == ("1.2.3", "SEG", tuple(other))
    assert (two.uid, two.modality) == (SERIES, "CT")
    assert two.files == tuple(sorted(files))


def real(name: str) -> list[Path]:
    root = Path(os.environ.get("SEGPIPE_REAL_DATA", ""))
    return [file for file in (root / "dicom" / name).iterdir() if is_dicom(file)]


@pytest.mark.skipif(
    "SEGPIPE_REAL_DATA" not in os.environ, reason="SEGPIPE_REAL_DATA is not set"
)
@pytest.mark.parametrize(
    "name",
    [
        "ct_torchio_17slice",
        "dcmqi_24x38x3/image",
        "dcmqi_ct3slice/image",
        "mr_brain_t1post_study3",
        "mr_hippocrop_study1",
    ],
)
def test_a_real_series_lies_where_simpleitk_reads_it(name: str) -> None:
    files = real(name)
    (series,) = find_series(files)
    folder = str(files[0].parent)
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(folder, series.uid)

    assert_same_as_itk(read_series(series), itk_image([Path(n) for n in names]))


def test_a_tilted_gantry_is_straightened_where_that_is_asked_for(
    tmp_path: Path,
) -> None:
    """Values that are linear in space stay so under linear resampling."""
    shape = (8, 20, 6)
    i, j, k = np.indices(shape)
    step = np.array([0, 0.5, 2.5])
    y = j * SPACING[1] + k * step[1]
    ramp = (100 * y + 40 * i * SPACING[0] + 1000).astype(np.int16)
    write_series(tmp_path, voxels=ramp, step=step)

    found = load(tmp_path, resample_tilt=True)

    grid = found.image.grid
    assert grid.largest_shear < 1e-6
    assert grid.spacing == pytest.approx(SPACING)
    assert grid.shape == (8, 22, 6)  # 2.5 mm of shift are two rows of 1.25 mm
    assert "tilted by 11.31 degrees" in found.warnings[-1]
    places = np.argwhere(np.ones(shape, bool)).astype(float)
    world = grid.points_of(places) * (-1, -1, 1) - ORIGIN
    expected = (100 * world[:, 1] + 40 * world[:, 0] + 1000).reshape(shape)
    inner = found.image.array[0, :, 3:18]
    assert np.abs(inner - expected[:, 3:18]).max() < 1
    assert (found.image.array[0, :, :2, 5] == ramp.min()).all()  # beyond the slice
