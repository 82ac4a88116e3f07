"""Single slices lie where the formula of the standard puts them."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from segpipe.images.dicom.planes import grid_of, planes_of
from tests.support.dicoms import oblique, write_series


def test_a_pixel_lies_where_the_standard_puts_it(tmp_path: Path) -> None:
    """PS3.3, section C.7.6.2.1.1: P = X column di + Y row dj + S."""
    file = write_series(tmp_path, directions=oblique((10.8, -3, 25)))[2]
    header = dcmread(file)
    cosines = np.array(header.ImageOrientationPatient, float)
    start = np.array(header.ImagePositionPatient, float)
    row, column = 3, 4
    spacing = [float(n) for n in header.PixelSpacing]
    place = cosines[:3] * spacing[1] * column + cosines[3:] * spacing[0] * row + start

    (plane,) = planes_of(file, header)

    found = grid_of(plane, 1, plane.normal).points_of(np.array([[column, row, 0.0]]))
    assert np.abs(found * (-1, -1, 1) - place).max() < 1e-9
    assert plane.shape == (5, 4)
    assert plane.spacing == (0.75, 1.25)
    assert plane.thickness == 2.5
    assert plane.height == pytest.approx(np.cross(cosines[:3], cosines[3:]) @ start)
