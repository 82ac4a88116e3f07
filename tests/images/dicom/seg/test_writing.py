"""DICOM-SEG objects: others read them in their place, and they are always the same."""

import itertools
from collections.abc import Callable
from pathlib import Path

import highdicom
import numpy as np
import pytest
import SimpleITK
from pydicom import dcmread
from pydicom.sr.codedict import codes

from segpipe.images.dicom.seg.reading import read_seg
from segpipe.images.dicom.seg.writing import write_seg
from segpipe.images.dicom.series import DicomImage
from segpipe.images.values import Legend, Unions
from tests.support.dicoms import (
    ALGORITHM,
    SECRETS,
    SHAPE,
    labels,
    legend,
    load,
    numbered,
    oblique,
    straight,
    tilted,
    turned,
    two_objects,
    write,
    write_series,
)


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
        legend=legend({3: "spleen"}),
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


def test_segments_that_overlap_hold_all_their_voxels(tmp_path: Path) -> None:
    """highdicom, and pydicom frame by frame, read the union of each one's values."""
    source = straight(tmp_path / "series")
    array = np.zeros(SHAPE, np.int16)
    array[1:4, 0:3, 1:5], array[2, 1:3, 2:4], array[2, 1, 2] = 1, 2, 4
    members = ((1, 2, 4), (2, 4), (4,))
    nested = Legend(
        ("background", "whole tumour", "core", "enhancing"),
        (0, 1, 2, 4),
        Unions(values=members, order=(1, 2, 4)),
    )
    write_seg(tmp_path / "seg.dcm", array, source, legend=nested, algorithm=ALGORITHM)

    seg = highdicom.seg.segread(tmp_path / "seg.dcm")
    uids = [header.SOPInstanceUID for header in source.slices]
    theirs = seg.get_pixels_by_source_instance(
        uids, assert_missing_frames_are_empty=True
    )
    frames = dcmread(tmp_path / "seg.dcm")
    pixels = frames.pixel_array
    numbers = [
        item.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        for item in frames.PerFrameFunctionalGroupsSequence
    ]

    masks = [np.isin(array, own) for own in members]
    assert list(seg.segment_numbers) == [1, 2, 3]
    for number, mask in enumerate(masks, start=1):
        label = seg.get_segment_description(number).segment_label
        assert label == nested.structures[number]
        assert (theirs[..., number - 1].transpose(2, 1, 0) == mask).all()
        stored = sum(
            int(p.sum()) for p, n in zip(pixels, numbers, strict=True) if n == number
        )
        assert stored == mask.sum()


def test_a_series_of_several_objects_is_named_with_all_of_them(tmp_path: Path) -> None:
    """Half of the frames lie in an object of their own, as in a concatenation."""
    source = two_objects(tmp_path)
    write(tmp_path / "seg.dcm", source, labels())

    seg = highdicom.seg.segread(tmp_path / "seg.dcm")
    found = read_seg(tmp_path / "seg.dcm", source)

    named = {uid for _, _, uid in seg.get_source_image_uids()}
    (series,) = seg.ReferencedSeriesSequence
    named |= {i.ReferencedSOPInstanceUID for i in series.ReferencedInstanceSequence}
    assert len(source.slices) == 2
    assert named == {header.SOPInstanceUID for header in source.slices}
    assert (found.label.array == numbered(labels())).all()


def test_a_frame_that_counts_itself_is_a_slice_as_others(tmp_path: Path) -> None:
    """NumberOfFrames may be 1 in a single-frame object."""
    write_series(
        tmp_path / "series", change=lambda s, k: setattr(s, "NumberOfFrames", 1)
    )
    source = load(tmp_path / "series")
    write(tmp_path / "seg.dcm", source, labels())

    found = read_seg(tmp_path / "seg.dcm", source)

    assert (found.label.array == numbered(labels())).all()


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


@pytest.mark.parametrize("make", [straight, turned, tilted])
def test_the_stated_gap_is_the_distance_of_the_frames(
    make: Callable[[Path], DicomImage], tmp_path: Path
) -> None:
    """Slices of the tilted gantry lie 2.55 mm apart, straightened ones 2.5."""
    source = make(tmp_path / "series")
    array = np.zeros(source.image.grid.shape, np.int16)
    array[1:3, 1:3, :4] = 3
    write(tmp_path / "seg.dcm", source, array)

    seg = dcmread(tmp_path / "seg.dcm")
    (shared,) = seg.SharedFunctionalGroupsSequence
    places = [
        np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        for frame in seg.PerFrameFunctionalGroupsSequence
    ]
    gaps = [np.linalg.norm(b - a) for a, b in itertools.pairwise(places)]
    stated = shared.PixelMeasuresSequence[0].get("SpacingBetweenSlices", 2.5)
    assert gaps == pytest.approx([2.5] * 3, abs=1e-3)
    assert float(stated) == pytest.approx(2.5, abs=1e-3)
