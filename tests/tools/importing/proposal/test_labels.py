"""A proposal for the labels is one command, or two where the values are open."""

from dataclasses import replace
from pathlib import Path

import pytest

from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.proposal.families import Family
from segpipe.tools.importing.proposal.labels import (
    propose_labels,
    segment_names,
    shares,
)
from segpipe.tools.importing.proposal.roles import Layout
from segpipe.tools.importing.proposal.values import Sample
from tests.support.sources import box, write_slicer

TEN = dict.fromkeys(range(1, 11), 9)
# Values of the files, and the options for each meaning that they may have.
MEANINGS: dict[str, tuple[Sample, list[ImportOptions]]] = {
    "one": (
        Sample(({0: 9, 255: 2},), (), 1),
        [ImportOptions(structures={"structure_1": 255})],
    ),
    "1-bit and 8-bit": (
        Sample(({0: 9, 1: 2}, {0: 9, 255: 2}), (), 2),
        [ImportOptions(structures={"structure_1": (1, 255)})],
    ),
    "two": (
        Sample(({0: 9, 1: 2, 3: 2},), (), 1),
        [ImportOptions(structures={"structure_1": 1, "structure_3": 3})],
    ),
    "stray greys": (
        Sample(({0: 99, 218: 1, 255: 50},), (), 1),
        [ImportOptions(structures={"structure_1": 1}, binarize=128.0)],
    ),
    "ignore or not": (
        Sample(({0: 9, 1: 2, 255: 2},), (), 1),
        [
            ImportOptions(structures={"structure_1": 1}, ignore=255),
            ImportOptions(structures={"structure_1": 1, "structure_255": 255}),
        ],
    ),
    "instances or not": (
        Sample(({0: 9, **TEN},), (1.0,), 1),
        [
            ImportOptions(structures={"structure_1": 1}, instances=True),
            ImportOptions(),
        ],
    ),
}


@pytest.mark.parametrize("name", MEANINGS)
def test_values_are_proposed_as_what_they_may_mean(name: str) -> None:
    sample, wanted = MEANINGS[name]
    found = propose_labels(
        ImportOptions(), Layout("", ""), sample, files=[], source=Path()
    )

    assert list(found.proposals) == wanted
    assert bool(found.doubt) == (len(wanted) > 1)
    assert bool(found.line) == (name in ("1-bit and 8-bit", "stray greys"))


def test_the_name_of_the_file_is_that_of_its_only_structure() -> None:
    layout = Layout("{case}.png", "{case}_liver.png", name="liver")
    sample = Sample(({0: 9, 7: 2},), (), 1)
    (found,) = propose_labels(
        ImportOptions(), layout, sample, files=[], source=Path()
    ).proposals

    assert found.structures == {"liver": 7}


@pytest.mark.parametrize(
    ("labels", "listed"),
    [("m/{case}/{structure}.nii", 0), ("m/{case}_{structure}.nii", 9)],
)
def test_many_masks_that_fill_a_folder_are_not_listed(labels: str, listed: int) -> None:
    """Beside each other they must be told from other files by their names."""
    names = tuple(f"organ_{n}" for n in range(9))
    drawn = tuple(Family("", {}) for _ in names)
    layout = Layout("i/{case}.nii", labels, structures=names, drawn=drawn)
    layout = replace(layout, pictured=(Family("", {"a": "i/a.nii"}),))
    (found,) = propose_labels(
        ImportOptions(), layout, Sample((), (), 0), files=[], source=Path()
    ).proposals

    assert len(found.structures) == listed


def test_segments_are_proposed_by_their_names(tmp_path: Path) -> None:
    files = [tmp_path / "a.seg.nrrd", tmp_path / "b.seg.nrrd"]
    write_slicer(files[0], ("liver",), (box(1, 3),))
    write_slicer(files[1], ("cyst", "liver"), (box(1, 3),))

    assert segment_names(files) == ["liver", "cyst"]
    assert segment_names([]) == []


def test_the_share_of_each_value_is_said_of_many_only_the_ends() -> None:
    assert shares(Sample(({0: 75, 2: 25},), (), 9)) == (
        "values in 1 of 9 label files: 0 75 %, 2 25 %"
    )
    assert "11 values from 0 to 10" in shares(Sample(({0: 9, **TEN},), (), 1))


def test_a_value_that_is_not_all_is_not_100_percent() -> None:
    """18 of 100,000 voxels are 0.018 %; the others are 99.982 %."""
    line = shares(Sample(({0: 99_982, 1: 18},), (), 1))
    assert line.endswith(": 0 99.98 %, 1 0.018 %")
    assert shares(Sample(({0: 7},), (), 1)).endswith(": 0 100 %")
