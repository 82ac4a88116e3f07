"""Prepared cases are read as they were written, and not before they are used."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.prepared import (
    CaseIndex,
    ClassCounts,
    LabelledShares,
    counts_file,
    index_file,
    open_annotated,
    prepared_case,
    read_counts,
    read_shares,
    save_annotated,
    shares_file,
    weighed_case,
)
from segpipe.images.grid import Grid
from segpipe.project.errors import DataError

SHAPE = (2, 3, 4)
LABEL = np.arange(24, dtype=np.int16).reshape(SHAPE)


def test_a_prepared_case_is_memory_mapped_and_needs_no_instances(
    tmp_path: Path,
) -> None:
    case, other = prepared_case(tmp_path, "a"), prepared_case(tmp_path, "b")
    for one in (case, other):
        one.save_image(LABEL[None].astype(np.float32))
        one.save_label(LABEL)
    case.save_instances(LABEL.astype(np.int32))

    assert isinstance(case.image, np.memmap)
    np.testing.assert_array_equal(case.image[0], LABEL)
    np.testing.assert_array_equal(case.label, LABEL)
    assert case.instances is not None
    np.testing.assert_array_equal(case.instances, LABEL)
    assert other.instances is None


def test_the_grids_of_a_case_stand_beside_its_arrays(tmp_path: Path) -> None:
    case = prepared_case(tmp_path, "a")
    grid = Grid.from_spacing(SHAPE, (1.0, 1.0, 2.0), "mm")

    case.save_grids(original=grid, prepared=grid.resampled((2, 3, 8)))

    text = (case.folder / "grid.json").read_text()
    assert '"original"' in text
    assert '"prepared"' in text


@pytest.mark.parametrize("separation", [None, LABEL > 5])
def test_a_weight_map_is_read_as_it_was_written(
    tmp_path: Path, separation: np.ndarray | None
) -> None:
    case = weighed_case(tmp_path, "a")
    border, counts = LABEL.astype(np.float32), np.array([20, 4])
    case.save_maps(2, border=border, separation=separation)
    case.save_maps(3, border=border + 1, separation=None)
    case.save_counts(counts)

    np.testing.assert_array_equal(case.border(2), border)
    np.testing.assert_array_equal(case.border(3), border + 1)
    np.testing.assert_array_equal(case.counts, counts)
    found = case.separation(2)
    assert (found is None) == (separation is None)
    assert found is None or (found == separation).all()
    assert case.separation(3) is None


def test_annotated_voxels_are_read_as_they_were_written(tmp_path: Path) -> None:
    (tmp_path / "annotate").mkdir()
    save_annotated(tmp_path / "annotate", "a", LABEL > 3)

    np.testing.assert_array_equal(open_annotated(tmp_path, "a"), LABEL > 3)


def test_the_documents_of_all_cases_are_read_by_case(tmp_path: Path) -> None:
    counts, shares = {"a": (5, 1), "b": (6, 0)}, {"a": 0.25, "b": 1.0}
    index = CaseIndex(format_version=1, cases={"a": "k", "b": "l"})
    ClassCounts(format_version=1, counts=counts).write(counts_file(tmp_path / "weigh"))
    LabelledShares(format_version=1, shares=shares).write(
        shares_file(tmp_path / "annotate")
    )
    index.write(index_file(tmp_path / "weigh"))

    assert read_counts(tmp_path) == counts
    assert read_shares(tmp_path) == shares
    assert CaseIndex.read(index_file(tmp_path / "weigh")) == index
    with pytest.raises(DataError, match="run `dvc repro`"):
        read_counts(tmp_path / "elsewhere")
