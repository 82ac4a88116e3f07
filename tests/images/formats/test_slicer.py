"""The segments of 3D Slicer are read by the names of its header."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.images.formats.slicer import (
    Segment,
    check_segment_names,
    find_segments,
    read_layers,
    read_segment_names,
)
from segpipe.project.errors import DataError
from tests.support.sources import box, write_nifti, write_slicer


def test_names_values_and_layers_are_those_of_the_header(tmp_path: Path) -> None:
    write_slicer(tmp_path / "a.nrrd", ("liver", "cyst"), (box(1, 4) + box(5, 6, 2),))
    write_slicer(tmp_path / "b.nrrd", ("liver", "cyst"), (box(1, 4), box(2, 3)))
    write_nifti(tmp_path / "c.nii", box(1, 2))

    assert read_segment_names(tmp_path / "a.nrrd") == {1: "liver", 2: "cyst"}
    assert read_segment_names(tmp_path / "b.nrrd") == {}  # both have the value 1
    assert find_segments(tmp_path / "b.nrrd")[1] == Segment("cyst", 1, 1)
    assert find_segments(tmp_path / "c.nii") == ()
    layers = read_layers(tmp_path / "b.nrrd")
    assert np.array_equal(layers[1].array, box(2, 3))
    assert layers[1].grid.spacing == (1, 1, 2)


def test_a_name_with_another_value_is_refused(tmp_path: Path) -> None:
    write_slicer(tmp_path / "a.nrrd", ("liver",), (box(1, 4),))

    check_segment_names(tmp_path / "a.nrrd", {"Liver": 1, "spleen": 2})
    with pytest.raises(DataError, match="expected 'liver' as 2, found 1"):
        check_segment_names(tmp_path / "a.nrrd", {"liver": 2})
