"""DICOM-SEG: what is written comes back in its place, what overlaps is refused."""

import os
from pathlib import Path

import highdicom
import numpy as np
import pytest
import SimpleITK
from highdicom.seg import SegmentationTypeValues
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes

from segpipe.errors import DataError
from segpipe.io import dicom_codes
from segpipe.io.dicom import DicomImage
from segpipe.io.dicom_seg import read_seg
from segpipe.io.dicom_seg_writing import Algorithm, write_seg
from tests.dicoms import SECRETS, SHAPE, load, oblique, write_series

ALGORITHM = Algorithm("segpipe", "0.1.0", "f" * 64)
STRUCTURES = {0: "background", 3: "left hippocampus", 7: "liver vessels"}
REAL = pytest.mark.skipif(
    "SEGPIPE_REAL_DATA" not in os.environ, reason="SEGPIPE_REAL_DATA is not set"
)


def labels() -> np.ndarray:
    """Two structures; the first, third and last slice are empty."""
    array = np.zeros(SHAPE, np.int16)
    array[1:4, 0:2, 1] = 3
    array[0, 3, 3:5] = 3
    array[2:5, 2:4, 4] = 7
    return array


def numbered(array: np.ndarray) -> np.ndarray:
    return np.select([array == 3, array == 7], [1, 2])


def write(
    path: Path, source: DicomImage, array: np.ndarray, *, digest: str = "f" * 64
) -> None:
    write_seg(
        path,
        array,
        source,
        structures=STRUCTURES,
        algorithm=Algorithm("segpipe", "0.1.0", digest),
    )


def multi_frame(folder: Path) -> DicomImage:
    """The same series as one object, its frames in the order of no k."""

    def change(slice_: Dataset, k: int) -> None:
        slice_.PatientOrientation = ["L", "P"]

    files = write_series(
        folder / "single", directions=oblique((10.8, -3, 25)), change=change
    )
    multi = highdicom.legacy.LegacyConvertedEnhancedCTImage(
        [dcmread(file) for file in files[::-1]], "1.2.3.4", 1, "1.2.3.4.5", 1
    )
    (folder / "multi").mkdir()
    multi.save_as(folder / "multi" / "all.dcm")
    return load(folder / "multi")


def straight(folder: Path) -> DicomImage:
    write_series(folder)
    return load(folder)


def turned(folder: Path) -> DicomImage:
    write_series(folder, directions=oblique((10.8, -3, 25)))
    return load(folder)


def tilted(folder: Path) -> DicomImage:
    write_series(folder, step=np.array([0, 0.5, 2.5]))
    return load(folder, resample_tilt=True)


@pytest.mark.parametrize("kind", [straight, turned, multi_frame, tilted])
def test_labels_come_back_voxel_by_voxel_on_the_full_grid(kind, tmp_path: Path) -> None:
    source = kind(tmp_path / "series")
    array = np.zeros(source.image.grid.shape, np.int16)
    array[:5, :4] = labels()
    write(tmp_path / "seg.dcm", source, array)

    found = read_seg(tmp_path / "seg.dcm", source)

    assert (found.label.array == numbered(array)).all()
    assert found.label.grid is source.image.grid
    assert found.structures == {"left hippocampus": 1, "liver vessels": 2}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["seg.dcm", "series"]


@pytest.mark.parametrize("kind", [straight, turned, multi_frame, tilted])
def test_without_its_image_a_segmentation_lies_in_the_same_place(
    kind, tmp_path: Path
) -> None:
    source = kind(tmp_path / "series")
    array = np.zeros(source.image.grid.shape, np.int16)
    array[:5, :4] = labels()
    write(tmp_path / "seg.dcm", source, array)

    found = read_seg(tmp_path / "seg.dcm").label

    assert found.grid.shape == (*array.shape[:2], 4)  # slices 1 to 4, 2 being empty
    assert (found.array == numbered(array)[:, :, 1:5]).all()
    corner = found.grid.points_of(np.zeros((1, 3)))
    there = source.image.grid.points_of(np.array([[0.0, 0.0, 1.0]]))
    assert np.abs(corner - there).max() < 1e-4


@pytest.mark.parametrize("degrees", [(0, 0, 0), (10.8, -3, 25), (90, 0, 180)])
def test_simpleitk_reads_the_segment_in_its_place(
    degrees: tuple[float, float, float], tmp_path: Path
) -> None:
    write_series(tmp_path / "series", directions=oblique(degrees))
    source = load(tmp_path / "series")
    array = np.zeros(SHAPE, np.int16)
    array[1:4, 0:2, 1:5] = 3  # no empty slice between: ITK knows no omitted frames
    array[0, 3, 3] = 3
    write_seg(
        tmp_path / "seg.dcm",
        array,
        source,
        structures={3: "spleen"},
        algorithm=ALGORITHM,
    )

    image = SimpleITK.ReadImage(str(tmp_path / "seg.dcm"))

    theirs = SimpleITK.GetArrayFromImage(image).T > 0
    spots = np.argwhere(theirs)
    world = np.array([image.TransformIndexToPhysicalPoint(s) for s in spots.tolist()])
    mine = source.image.grid.indices_of(world * (-1, -1, 1))
    assert np.abs(mine - np.rint(mine)).max() < 1e-3
    voxels = {tuple(v) for v in np.rint(mine).astype(int).tolist()}
    assert voxels == {tuple(v) for v in np.argwhere(array == 3).tolist()}


def test_highdicom_finds_segments_codes_and_the_segmenter(tmp_path: Path) -> None:
    source = straight(tmp_path / "series")
    write(tmp_path / "seg.dcm", source, labels())

    seg = highdicom.seg.segread(tmp_path / "seg.dcm")

    one, two = (seg.get_segment_description(n) for n in (1, 2))
    assert (one.segment_label, two.segment_label) == (
        "left hippocampus",
        "liver vessels",
    )
    assert one.segmented_property_type == codes.SCT.Hippocampus
    assert two.segmented_property_type == codes.SCT.Tissue
    assert one.algorithm_type.value == "AUTOMATIC"
    algorithm = one.algorithm_identification[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("segpipe", "0.1.0")
    assert algorithm.AlgorithmParameters == f"segmenter={'f' * 64}"
    assert one.RecommendedDisplayCIELabValue != two.RecommendedDisplayCIELabValue
    assert seg.SegmentationType == "BINARY"
    assert seg.NumberOfFrames == 4  # empty ones are left out
    assert seg.PatientName == f"{SECRETS[1]}^{SECRETS[0]}"
    assert (seg.PatientID, seg.PatientBirthDate) == (SECRETS[2], SECRETS[3])
    slices = {uid for _, _, uid in seg.get_source_image_uids()}
    assert slices == {header.SOPInstanceUID for header in source.slices}


def test_no_labelled_voxel_is_a_segmentation_too(tmp_path: Path) -> None:
    source = straight(tmp_path / "series")
    write(tmp_path / "seg.dcm", source, np.zeros(SHAPE, np.int16))

    found = read_seg(tmp_path / "seg.dcm", source)

    assert not found.label.array.any()
    assert found.structures == {"left hippocampus": 1, "liver vessels": 2}


def test_the_same_mask_of_the_same_segmenter_is_the_same_file(tmp_path: Path) -> None:
    source = straight(tmp_path / "series")
    other = labels()
    other[0, 0, 0] = 7
    for name, array, digest in (
        ("one", labels(), "f" * 64),
        ("same", labels(), "f" * 64),
        ("mask", other, "f" * 64),
        ("segmenter", labels(), "e" * 64),
    ):
        write(tmp_path / f"{name}.dcm", source, array, digest=digest)
    one, mask, segmenter = (
        dcmread(tmp_path / f"{name}.dcm") for name in ("one", "mask", "segmenter")
    )

    same = (tmp_path / "same.dcm").read_bytes()
    assert (tmp_path / "one.dcm").read_bytes() == same
    assert one.SeriesInstanceUID == mask.SeriesInstanceUID
    assert one.SOPInstanceUID != mask.SOPInstanceUID
    assert one.SeriesInstanceUID != segmenter.SeriesInstanceUID
    assert str(one.SOPInstanceUID).startswith("2.25.")
    assert len(one.SOPInstanceUID) <= 64


def test_names_in_any_script_are_written(tmp_path: Path) -> None:
    def change(slice_: Dataset, k: int) -> None:
        slice_.SpecificCharacterSet = "ISO_IR 100"
        slice_.PatientName = "Müller^Jörg"

    write_series(tmp_path / "series", change=change)
    source = load(tmp_path / "series")
    write_seg(
        tmp_path / "seg.dcm",
        labels(),
        source,
        structures={3: "海馬", 7: "größere Läsion"},
        algorithm=ALGORITHM,
    )

    assert dcmread(tmp_path / "seg.dcm").PatientName == "Müller^Jörg"
    found = read_seg(tmp_path / "seg.dcm", source)
    assert found.structures == {"海馬": 1, "größere Läsion": 2}


@pytest.mark.parametrize(
    "keyword",
    ["FrameOfReferenceUID", "StudyID", "AccessionNumber", "PatientSex", "StudyDate"],
)
def test_an_anonymous_source_can_be_segmented(keyword: str, tmp_path: Path) -> None:
    write_series(tmp_path / "series", change=lambda s, k: delattr(s, keyword))
    source = load(tmp_path / "series")
    write(tmp_path / "seg.dcm", source, labels())

    found = read_seg(tmp_path / "seg.dcm", source)

    assert (found.label.array == numbered(labels())).all()


def test_a_source_that_cannot_be_referred_to_is_refused_without_its_patient(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def change(slice_: Dataset, k: int) -> None:
        del slice_.StudyInstanceUID
        slice_.PatientSex = SECRETS[0].upper()
        slice_.PatientName = f"{SECRETS[1]}|{SECRETS[0]}"

    write_series(tmp_path / "series", change=change)
    source = load(tmp_path / "series")
    caplog.clear()

    with pytest.raises(DataError, match="expected a series that a seg") as caught:
        write(tmp_path / "seg.dcm", source, labels())
    told = (str(caught.value) + caplog.text).lower()
    assert not any(secret.lower() in told for secret in SECRETS)
    assert [p.name for p in tmp_path.iterdir()] == ["series"]


def description(number: int) -> highdicom.seg.SegmentDescription:
    return highdicom.seg.SegmentDescription(
        number, f"part {number}", codes.SCT.Tissue, codes.SCT.Tissue, "MANUAL"
    )


def write_by_highdicom(
    path: Path, files: list[Path], array: np.ndarray, kind: str, count: int = 2
) -> None:
    """A segmentation as other programs write it; frame, row, column (, segment)."""
    highdicom.seg.Segmentation(
        [dcmread(file) for file in files],
        array,
        SegmentationTypeValues(kind),
        [description(n) for n in range(1, count + 1)],
        "1.2.3.5",
        1,
        "1.2.3.5.1",
        1,
        "phantom",
        "phantom",
        "1",
        "1",
    ).save_as(path)


def test_a_label_map_segmentation_is_read(tmp_path: Path) -> None:
    files = write_series(tmp_path / "series")
    source = load(tmp_path / "series")
    frames = numbered(labels()).transpose(2, 1, 0).astype(np.uint8)
    write_by_highdicom(tmp_path / "seg.dcm", files, frames, "LABELMAP")

    found = read_seg(tmp_path / "seg.dcm", source)

    assert (found.label.array == numbered(labels())).all()
    assert found.structures == {"part 1": 1, "part 2": 2}


def test_a_probability_counts_from_one_half(tmp_path: Path) -> None:
    files = write_series(tmp_path / "series")
    source = load(tmp_path / "series")
    probability = np.random.default_rng(3).integers(0, 256, (6, 4, 5)) / 255
    write_by_highdicom(tmp_path / "seg.dcm", files, probability, "FRACTIONAL", 1)

    found = read_seg(tmp_path / "seg.dcm", source)

    assert (found.label.array.transpose(2, 1, 0) == (probability >= 0.5)).all()


def test_segments_that_share_a_voxel_are_refused_by_name(tmp_path: Path) -> None:
    files = write_series(tmp_path / "series")
    source = load(tmp_path / "series")
    frames = np.zeros((6, 4, 5, 2), np.uint8)
    frames[2, 1:3, 1:4, 0] = 1
    frames[2, 2:4, 3:5, 1] = 1
    write_by_highdicom(tmp_path / "seg.dcm", files, frames, "BINARY")

    with pytest.raises(
        DataError, match="'part 1' and 'part 2' overlapping in 1 voxels"
    ):
        read_seg(tmp_path / "seg.dcm", source)


def test_a_segmentation_of_another_image_is_refused(tmp_path: Path) -> None:
    source = straight(tmp_path / "series")
    write(tmp_path / "seg.dcm", source, labels())

    def elsewhere(slice_: Dataset, k: int) -> None:
        x, y, z = slice_.ImagePositionPatient
        slice_.ImagePositionPatient = [x + 0.3, y, z]

    def far(slice_: Dataset, k: int) -> None:
        x, y, z = slice_.ImagePositionPatient
        slice_.ImagePositionPatient = [x, y, z + 20]

    def coarse(slice_: Dataset, k: int) -> None:
        slice_.PixelSpacing = [2.5, 1.5]

    def foreign(slice_: Dataset, k: int) -> None:
        slice_.FrameOfReferenceUID = "1.2.3"

    for change, words in (
        (elsewhere, "0.40 voxels beside its own"),
        (far, "pixels outside of it"),
        (coarse, "pixels of another size"),
        (foreign, "expected the frame of reference 1.2.3 of the image"),
    ):
        folder = tmp_path / change.__name__
        write_series(folder, change=change)
        with pytest.raises(DataError, match=words):
            read_seg(tmp_path / "seg.dcm", load(folder))


def test_what_is_no_segmentation_or_damaged_is_refused(tmp_path: Path) -> None:
    files = write_series(tmp_path / "series")
    source = load(tmp_path / "series")
    write(tmp_path / "seg.dcm", source, labels())
    content = (tmp_path / "seg.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(content[:-4])

    with pytest.raises(DataError, match="a DICOM segmentation, found CT"):
        read_seg(files[0])
    with pytest.raises(DataError, match="expected whole pixel data"):
        read_seg(tmp_path / "cut.dcm", source)


def test_codes_are_those_of_pydicom() -> None:
    table = {**dicom_codes.ANATOMICAL, **dicom_codes.PATHOLOGICAL}
    for name, (value, meaning) in table.items():
        keyword = "".join(word.capitalize() for word in name.split())
        code = getattr(codes.SCT, keyword)
        assert (code.value, code.meaning) == (value, meaning)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Hippocampus", codes.SCT.Hippocampus),
        ("left_kidney", codes.SCT.Kidney),
        ("Lung Tumour", codes.SCT.Tumor),
        ("oedema", codes.SCT.Edema),
        ("spinal-cord", codes.SCT.SpinalCord),
        ("non-brain", codes.SCT.Tissue),
        ("1", codes.SCT.Tissue),
    ],
)
def test_a_structure_has_the_code_of_its_name(name: str, kind: object) -> None:
    assert dicom_codes.codes_of(name)[1] == kind


@REAL
@pytest.mark.parametrize(
    ("image", "seg", "truth"),
    [
        ("dcmqi_24x38x3/image", "dcmqi_24x38x3/seg/label.seg", "24x38x3/nrrd/label"),
        (
            "dcmqi_24x38x3/multiframe",
            "dcmqi_24x38x3/seg/label.seg",
            "24x38x3/nrrd/label",
        ),
        ("dcmqi_ct3slice/image", "dcmqi_ct3slice/seg/liver.dcm", "ct3slice/seg/liver"),
    ],
)
def test_a_real_segmentation_is_the_truth_beside_it(
    image: str, seg: str, truth: str
) -> None:
    root = Path(os.environ["SEGPIPE_REAL_DATA"], "dicom")
    (nrrd,) = root.glob(f"dcmqi_{truth}*.nrrd")
    reference = SimpleITK.ReadImage(str(nrrd))
    theirs = SimpleITK.GetArrayFromImage(reference).T > 0
    world = [
        reference.TransformIndexToPhysicalPoint(spot)
        for spot in np.argwhere(theirs).tolist()
    ]

    for source in (load(root / image), None):
        found = read_seg(root / seg, source).label
        places = found.grid.indices_of(np.array(world) * (-1, -1, 1))
        assert np.abs(places - np.rint(places)).max() < 0.01
        i, j, k = np.rint(places).astype(int).T
        assert (found.array[i, j, k] > 0).all()
        assert (found.array > 0).sum() == theirs.sum()
