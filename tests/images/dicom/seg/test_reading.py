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

from segpipe.images.dicom.seg.reading import read_seg
from segpipe.images.dicom.series import DicomImage
from segpipe.project.errors import DataError
from tests.support.dicoms import (
    labels,
    load,
    multi_frame,
    numbered,
    straight,
    tilted,
    turned,
    write,
    write_series,
)

REAL = pytest.mark.skipif(
    "SEGPIPE_REAL_DATA" not in os.environ, reason="SEGPIPE_REAL_DATA is not set"
)


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


def write_overlapping(folder: Path) -> DicomImage:
    """Two segments that share a voxel, in seg.dcm; returns their image."""
    files = write_series(folder / "series")
    frames = np.zeros((6, 4, 5, 2), np.uint8)
    frames[2, 1:3, 1:4, 0] = 1
    frames[2, 2:4, 3:5, 1] = 1
    write_by_highdicom(folder / "seg.dcm", files, frames, "BINARY")
    return load(folder / "series")


def test_segments_that_share_a_voxel_are_refused_by_name(tmp_path: Path) -> None:
    source = write_overlapping(tmp_path)

    with pytest.raises(
        DataError, match=r"'part 1' and 'part 2' overlapping in 1 .*; import one of"
    ):
        read_seg(tmp_path / "seg.dcm", source)
    found = read_seg(tmp_path / "seg.dcm", source, only=frozenset({"part 2"}))

    assert (found.label.array != 0).sum() == 4
    assert (found.structures, found.left_out) == ({"part 2": 2}, ("part 1",))


def test_segments_of_one_name_are_joined_where_it_is_asked_for(tmp_path: Path) -> None:
    source = write_overlapping(tmp_path)
    dataset = dcmread(tmp_path / "seg.dcm")
    for segment in dataset.SegmentSequence:
        segment.SegmentLabel = "tumour"
    dataset.save_as(tmp_path / "seg.dcm")

    with pytest.raises(DataError, match=r"'tumour' and 'tumour \(2\)' overlapping"):
        read_seg(tmp_path / "seg.dcm", source)
    found = read_seg(tmp_path / "seg.dcm", source, only=frozenset({"tumour"}))
    one = read_seg(tmp_path / "seg.dcm", source, only=frozenset({"tumour (2)"}))

    assert (found.structures, found.left_out) == ({"tumour": 1}, ())
    assert (found.label.array == 1).sum() == 6 + 4 - 1
    assert (one.structures, one.left_out) == ({"tumour (2)": 2}, ("tumour",))


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
