"""RTSTRUCT: contours fill the pixels whose centres they enclose, or are refused."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Polygon
from pydicom import Dataset, dcmread

from segpipe.images.dicom.rtstruct import inside, read_rtstruct
from segpipe.images.dicom.series import find_series, read_series
from segpipe.project.errors import DataError
from tests.support.dicoms import SECRETS, load, oblique, write_series
from tests.support.structure_sets import (
    box,
    contour_of,
    write_structure_set,
)

SHAPE = (24, 20, 4)


def image(folder: Path, degrees: tuple[float, float, float] = (10.8, -3, 25)):
    write_series(folder, voxels=np.zeros(SHAPE, np.int16), directions=oblique(degrees))
    return load(folder)


@given(
    st.lists(st.tuples(*[st.floats(-3, 23)] * 2), min_size=3, max_size=12),
)
@settings(max_examples=300, deadline=None)
def test_a_polygon_is_filled_as_by_the_winding_of_its_parts(
    corners: list[tuple[float, float]],
) -> None:
    """Even-odd = parity of the triangles from one corner, which matplotlib fills."""
    polygon = np.array(corners, np.float64) + 1e-3 * np.pi  # no centre on an edge
    centres = np.argwhere(np.ones((20, 16), bool))
    parity = np.zeros(len(centres), int)
    for one, other in itertools.pairwise(polygon[1:]):
        triangle = np.array([polygon[0], one, other])
        edges = np.roll(triangle, -1, axis=0) - triangle
        ways = centres[:, None] - triangle[None]
        signs = edges[:, 0] * ways[..., 1] - edges[:, 1] * ways[..., 0]
        parity += (signs > 0).all(axis=1) | (signs < 0).all(axis=1)

    found = inside(polygon, (20, 16)).ravel()

    unlike = centres[found != (parity % 2 == 1)]
    assert all(distance(polygon, centre) < 1e-6 for centre in unlike)


def distance(polygon: np.ndarray, centre: np.ndarray) -> float:
    """From the nearest of all lines between the first corner and the others."""
    nearest = np.inf
    starts = [*polygon, *[polygon[0]] * len(polygon)]
    ends = [*np.roll(polygon, -1, axis=0), *polygon]
    for start, end in zip(starts, ends, strict=True):
        way = end - start
        length = float(way @ way)
        t = np.clip((centre - start) @ way / length, 0, 1) if length else 0.0
        nearest = min(nearest, float(np.linalg.norm(centre - start - t * way)))
    return nearest


def test_a_convex_polygon_is_filled_as_matplotlib_fills_it() -> None:
    angles = np.linspace(0, 2 * np.pi, 17)[:-1]
    corners = np.stack([9.3 + 7.7 * np.cos(angles), 8.1 + 6.3 * np.sin(angles)], axis=1)
    centres = np.argwhere(np.ones((20, 16), bool))

    found = inside(corners, (20, 16)).ravel()

    assert (found == Polygon(corners).contains_points(centres)).all()
    assert 100 < found.sum() < 160


@pytest.mark.parametrize("degrees", [(0, 0, 0), (10.8, -3, 25), (90, 0, 180)])
def test_regions_lie_in_their_slices_with_their_holes(
    degrees: tuple[float, float, float], tmp_path: Path
) -> None:
    source = image(tmp_path / "series", degrees)
    ring = [
        contour_of(source, box((2.5, 3.5), (12.5, 11.5))),
        contour_of(source, box((4.5, 5.5), (8.5, 9.5))),
    ]
    other = [
        contour_of(source, box((12.5, 3.5), (15.5, 5.5), k)) for k in (0.0, 1.0, 3.0)
    ]
    write_structure_set(tmp_path / "rt.dcm", source, {"ring": ring, "beside": other})

    found = read_rtstruct(tmp_path / "rt.dcm", source)

    expected = np.zeros(SHAPE, int)
    expected[3:13, 4:12, 1] = 1
    expected[5:9, 6:10, 1] = 0
    for k in (0, 1, 3):
        expected[13:16, 4:6, k] = 2
    assert (found.label.array == expected).all()
    assert found.structures == {"ring": 1, "beside": 2}
    assert found.label.grid is source.image.grid


SQUARE, CROSSING = box((1.5, 1.5), (11.5, 11.5)), box((8.5, 8.5), (18.5, 18.5))
AROUND, HOLE = box((0.5, 0.5), (19.5, 18.5)), box((2.5, 2.5), (7.5, 7.5))
ISLAND = box((4.5, 4.5), (6.5, 6.5))


@pytest.mark.parametrize(
    ("contours", "pixels"),
    [
        ([SQUARE], 100),
        ([SQUARE, SQUARE], 100),  # written twice
        ([SQUARE, SQUARE[::-1]], 100),  # and backwards
        ([SQUARE, SQUARE[2:] + SQUARE[:2]], 100),  # and from another corner
        ([SQUARE, CROSSING], 100 + 100 - 9),
        ([SQUARE, HOLE], 100 - 25),
        ([SQUARE, HOLE, HOLE], 100 - 25),
        ([SQUARE, HOLE, ISLAND], 100 - 25 + 4),
        ([CROSSING, HOLE, SQUARE], 100 + 100 - 9 - 25),
        ([AROUND, SQUARE, HOLE], 19 * 18 - 100 + 25),
        ([SQUARE, SQUARE, CROSSING], 100 + 100 - 9),
    ],
)
def test_contours_are_joined_and_those_within_are_holes(
    contours: list, pixels: int, tmp_path: Path
) -> None:
    """Areas of squares with edges between the centres of pixels."""
    source = image(tmp_path / "series")
    drawn = [contour_of(source, corners) for corners in contours]
    write_structure_set(tmp_path / "rt.dcm", source, {"ball": drawn})

    found = read_rtstruct(tmp_path / "rt.dcm", source).label.array

    assert found.sum() == pixels


def test_contours_of_the_kind_xor_are_combined_by_it(tmp_path: Path) -> None:
    source = image(tmp_path / "series")
    drawn = [contour_of(source, c, "CLOSEDPLANAR_XOR") for c in (SQUARE, CROSSING)]
    write_structure_set(tmp_path / "rt.dcm", source, {"ball": drawn})

    assert read_rtstruct(tmp_path / "rt.dcm", source).label.array.sum() == 2 * 91


def test_a_region_that_ends_empty_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = image(tmp_path / "series")
    regions = {
        "ball": [contour_of(source, SQUARE)],
        "speck": [contour_of(source, box((2.2, 2.2), (2.8, 2.8), 2))],
    }
    write_structure_set(tmp_path / "rt.dcm", source, regions)

    found = read_rtstruct(tmp_path / "rt.dcm", source)

    assert found.structures == {"ball": 1, "speck": 2}
    assert "'speck' encloses no centre of a pixel" in caplog.text
    assert "'ball' encloses" not in caplog.text


def test_pixels_on_a_shared_edge_belong_to_one_region(tmp_path: Path) -> None:
    source = image(tmp_path / "series", (0, 0, 0))
    left = [contour_of(source, box((2, 2), (6, 6)))]
    right = [contour_of(source, box((6, 2), (9, 6)))]
    below = [contour_of(source, box((2, 6), (9, 8)))]
    write_structure_set(
        tmp_path / "rt.dcm", source, {"left": left, "right": right, "below": below}
    )

    found = read_rtstruct(tmp_path / "rt.dcm", source).label.array

    assert [(found == n).sum() for n in (1, 2, 3)] == [16, 12, 14]


def test_open_contours_and_points_are_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = image(tmp_path / "series")
    regions = {
        "marker": [contour_of(source, [(3, 3, 1)], "POINT")],
        "ball": [
            contour_of(source, box((2.5, 2.5), (6.5, 6.5))),
            contour_of(source, box((9, 9), (12, 12)), "OPEN_PLANAR"),
        ],
    }
    write_structure_set(tmp_path / "rt.dcm", source, regions)

    found = read_rtstruct(tmp_path / "rt.dcm", source)

    assert found.structures == {"ball": 1}
    assert found.label.array.sum() == 16
    assert "a POINT contour of 'marker' is left out" in caplog.text
    assert "an OPEN_PLANAR contour of 'ball'".replace("an ", "a ") in caplog.text


def other_slice(dataset: Dataset) -> None:
    (item,) = dataset.ROIContourSequence[0].ContourSequence[0].ContourImageSequence
    item.ReferencedSOPInstanceUID = "1.2.3.77"


def other_series(dataset: Dataset) -> None:
    frame = dataset.ReferencedFrameOfReferenceSequence[0]
    series = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    series.SeriesInstanceUID = "1.2.3.66"


def other_frame(dataset: Dataset) -> None:
    dataset.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.3.55"
    del dataset.ROIContourSequence[0].ContourSequence[0].ContourImageSequence


def other_number(dataset: Dataset) -> None:
    dataset.ROIContourSequence[0].ReferencedROINumber = 99


def too_few(dataset: Dataset) -> None:
    dataset.ROIContourSequence[0].ContourSequence[0].ContourData = [1, 2, 3, 4]


def none(dataset: Dataset) -> None:
    del dataset.ROIContourSequence[0].ContourSequence


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_slice, "found one of 'ball' on 1.2.3.77, which is none of them"),
        (other_series, "found a reference to 1.2.3.66"),
        (other_frame, "expected the frame of reference .* found 1.2.3.55"),
        (other_number, "regions .4., found some of 99"),
        (too_few, "at least 3 corners of 3 numbers in ContourData, found 4"),
        (none, "expected closed contours, found none"),
    ],
)
def test_structures_of_another_image_or_damaged_are_refused(
    change: Callable[[Dataset], None], words: str, tmp_path: Path
) -> None:
    source = image(tmp_path / "series")
    contours = [contour_of(source, box((2, 2), (6, 6)))]
    write_structure_set(tmp_path / "rt.dcm", source, {"ball": contours}, change)

    with pytest.raises(DataError, match=words) as caught:
        read_rtstruct(tmp_path / "rt.dcm", source)
    assert str(caught.value).startswith(f"{tmp_path / 'rt.dcm'}: expected ")
    assert not any(secret in str(caught.value) for secret in SECRETS)


@pytest.mark.parametrize("k", [1.4, 7.0])
def test_contours_between_or_beyond_the_slices_are_refused(
    k: float, tmp_path: Path
) -> None:
    source = image(tmp_path / "series")
    contours = [contour_of(source, box((2, 2), (6, 6), k))]
    write_structure_set(tmp_path / "rt.dcm", source, {"ball": contours})

    with pytest.raises(DataError, match=f"found one at slice {k:.2f} to {k:.2f} of 4"):
        read_rtstruct(tmp_path / "rt.dcm", source)


def test_regions_that_overlap_are_refused_by_name(tmp_path: Path) -> None:
    source = image(tmp_path / "series")
    regions = {
        "body": [contour_of(source, box((1.5, 1.5), (14.5, 14.5)))],
        "liver": [contour_of(source, box((3.5, 3.5), (6.5, 5.5)))],
    }
    write_structure_set(tmp_path / "rt.dcm", source, regions)

    with pytest.raises(DataError, match="'body' and 'liver' overlapping in 6 voxels"):
        read_rtstruct(tmp_path / "rt.dcm", source)
    found = read_rtstruct(tmp_path / "rt.dcm", source, only=frozenset({"liver"}))
    assert (found.structures, found.left_out) == ({"liver": 1}, ("body",))
    assert (found.label.array == 1).sum() == 6


def test_what_is_no_structure_set_is_refused(tmp_path: Path) -> None:
    source = image(tmp_path / "series")
    file = next((tmp_path / "series").iterdir())

    with pytest.raises(DataError, match="expected an RTSTRUCT, found CT"):
        read_rtstruct(file, source)


@pytest.mark.skipif(
    "SEGPIPE_REAL_DATA" not in os.environ, reason="SEGPIPE_REAL_DATA is not set"
)
def test_a_real_structure_is_filled_as_matplotlib_fills_it() -> None:
    folder = Path(os.environ["SEGPIPE_REAL_DATA"], "dicom", "rtstruct_rtutils")
    (series,) = (s for s in find_series(folder.iterdir()) if s.modality == "CT")
    source = read_series(series)
    contours = dcmread(folder / "rt.dcm").ROIContourSequence[0].ContourSequence
    first = source.slices[0]
    spacing, (x, y, _) = first.PixelSpacing, first.ImagePositionPatient
    centres = np.argwhere(np.ones((512, 512), bool)) * np.array(spacing) + (x, y)
    expected = np.zeros(512 * 512, bool)
    for contour in contours:
        corners = np.array(contour.ContourData, float).reshape(-1, 3)[:, :2]
        expected ^= Polygon(corners).contains_points(centres)

    found = read_rtstruct(folder / "rt.dcm", source)

    assert found.structures == {"ROI-1": 1}
    assert (found.label.array[:, :, 0] == expected.reshape(512, 512)).all()
    assert not found.label.array[:, :, 1].any()
