"""Values of label maps are surveyed, and all of them get a meaning."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.description import read_description
from segpipe.images.formats.files import read_label
from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.finding.sources import RawCase, RawCases
from segpipe.tools.importing.reading.labels import LabelRules
from segpipe.tools.importing.reading.vocabulary import parse_structures
from segpipe.tools.importing.run import import_dataset
from segpipe.tools.importing.surveying.values import survey_values
from tests.support.sources import box, noise, write_nifti


def test_each_value_is_known_by_a_file_that_holds_it(tmp_path: Path) -> None:
    files = [tmp_path / "a.nii", tmp_path / "b.nii"]
    for file, value in zip(files, (1, 7), strict=True):
        write_nifti(file, box(1, 4, value))
    raw = RawCases(tuple(RawCase(f.stem, (f,), f) for f in files))
    found = survey_values(raw, ImportOptions(), LabelRules())

    assert found == {0: files[0], 1: files[0], 7: files[1]}


@pytest.mark.parametrize(
    ("texts", "labels"),
    [
        (["liver=1", "other=*"], {"liver": 1, "other": 2}),
        (["kidney=2,1", "other=*"], {"kidney": 2, "other": 3}),
        (["other=*"], {"other": 1}),
    ],
)
def test_all_other_values_may_be_a_structure(
    texts: list[str], labels: dict[str, int], tmp_path: Path
) -> None:
    """Its value is no other's, and the value for what is not annotated stays."""
    drawn = box(1, 2, 1) + box(3, 4, 2) + box(5, 6, 4) + box(7, 8, 9)
    write_nifti(tmp_path / "s" / "images" / "a.nii", noise(0), drawn=False)
    write_nifti(tmp_path / "s" / "labels" / "a.nii", drawn)
    options = ImportOptions(
        images="images",
        labels="labels",
        structures=parse_structures(texts),
        ignore=4,
    )
    import_dataset(tmp_path / "s", tmp_path / "data", options)

    wanted = {"background": 0, **labels, "ignore": 4}
    assert read_description(tmp_path / "data").labels == wanted
    label = read_label(tmp_path / "data" / "labelsTr" / "a.nii").array
    named = {int(v) for v in texts[0].partition("=")[2].split(",") if v != "*"}
    first = next(iter(labels.values()))
    goal = {v: first if v in named else labels["other"] for v in (1, 2, 9)}
    assert np.array_equal(label, np.vectorize({0: 0, 4: 4, **goal}.get)(drawn))


def test_more_values_than_structures_have_are_refused(tmp_path: Path) -> None:
    many = np.arange(12 * 10 * 6).reshape(12, 10, 6)
    write_nifti(tmp_path / "a.nii", many)
    raw = RawCases((RawCase("a", (tmp_path / "a.nii",), tmp_path / "a.nii"),))

    with pytest.raises(DataError, match=r"more than 200 values .*use --instances"):
        survey_values(raw, ImportOptions(), LabelRules())
