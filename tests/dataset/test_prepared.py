"""Prepared cases are read as they were written, and not before they are used."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.prepared import (
    CaseIndex,
    ClassCounts,
    LabelledShares,
    counts_file,
    index_file,
    open_annotation,
    open_known_label,
    prepared_case,
    read_counts,
    read_shares,
    save_known_label,
    shares_file,
    weighed_case,
)
from segpipe.images.grid import Grid
from segpipe.project.errors import DataError
from tests.support.places import ROOT

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


def test_a_sparse_model_knows_the_label_without_hidden_voxels(tmp_path: Path) -> None:
    known = np.where(LABEL > 3, LABEL, -1).astype(np.int16)
    for name in ("a", "b"):
        prepared_case(tmp_path, name).folder.mkdir(parents=True)
        prepared_case(tmp_path, name).save_label(LABEL)
    (tmp_path / "annotate").mkdir()
    save_known_label(tmp_path / "annotate", "a", known)

    assert open_known_label(tmp_path, "b") is None
    for name, sparse, expected in (
        ("a", True, known),
        ("a", False, LABEL),
        ("b", True, LABEL),
    ):
        label, weighed = open_annotation(tmp_path, name, sparse=sparse)
        np.testing.assert_array_equal(label, expected)
        assert weighed.folder.name == ("known" if expected is known else name)


def test_the_documents_of_all_cases_are_read_by_case(tmp_path: Path) -> None:
    counts, shares = {"a": (5, 1), "b": (6, 0)}, {"a": 0.25, "b": 1.0}
    known = {"a": (2, 0)}
    index = CaseIndex(format_version=1, cases={"a": "k", "b": "l"})
    ClassCounts(format_version=1, counts=counts, known=known).write(
        counts_file(tmp_path / "weigh")
    )
    LabelledShares(format_version=1, shares=shares).write(
        shares_file(tmp_path / "annotate")
    )
    index.write(index_file(tmp_path / "weigh"))

    assert read_counts(tmp_path, sparse=False) == counts
    assert read_counts(tmp_path, sparse=True) == {"a": (2, 0), "b": (6, 0)}
    assert read_shares(tmp_path) == shares
    assert CaseIndex.read(index_file(tmp_path / "weigh")) == index
    with pytest.raises(DataError, match="run `dvc repro`"):
        read_counts(tmp_path / "elsewhere", sparse=False)


def test_more_maps_are_held_than_files_may_be_open_at_first(tmp_path: Path) -> None:
    """Most systems allow 1,024 files, which 250 cases of a training would exhaust."""
    names = [f"case_{number}" for number in range(100)]
    for name in names:
        prepared_case(tmp_path, name).save_image(np.zeros((1, 2, 2, 2), np.float32))
    code = (
        "import resource as r, sys\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (64, r.getrlimit(r.RLIMIT_NOFILE)[1]))\n"
        "from pathlib import Path\n"
        "from segpipe.dataset.prepared import prepared_case\n"
        "names = [f'case_{n}' for n in range(100)]\n"
        "held = [prepared_case(Path(sys.argv[1]), one).image for one in names]\n"
        "print(len(held))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.stdout == "100\n", done.stderr
