"""The structures of an import are those that its options and files name."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.dataset.description import read_description
from segpipe.dataset.layout import read_dataset
from segpipe.images.formats import raster
from segpipe.images.formats.nifti import read_label
from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import ImportOptions
from segpipe.tools.importing.proposal.look import look
from segpipe.tools.importing.run import import_dataset
from tests.support.phantoms import write_dataset
from tests.support.sources import (
    box,
    noise,
    write_nifti,
    write_observers,
    write_png,
    write_slicer,
    write_structures,
)

FOLDERS = {"images": "{case}/ct.nii.gz", "labels": "{case}/segmentations/{structure}.*"}
MERGED = {"kidney": ("kidney_right", "kidney_left"), "liver": ("liver",)}


def test_masks_come_in_by_their_names(tmp_path: Path) -> None:
    write_structures(tmp_path / "source")
    import_dataset(tmp_path / "source", tmp_path / "data", ImportOptions(**FOLDERS))

    found = read_dataset(tmp_path / "data")
    assert not found.faults
    assert found.labels == {
        "background": 0,
        "kidney_left": 1,
        "kidney_right": 2,
        "liver": 3,
    }
    label = read_label(tmp_path / "data" / "labelsTr" / "s1.nii.gz")
    assert np.array_equal(label.array, box(1, 4, 3) + box(5, 7, 1) + box(8, 10, 2))


def test_masks_are_merged_and_join_data_that_name_them(tmp_path: Path) -> None:
    write_structures(tmp_path / "one", ("a",))
    write_structures(tmp_path / "two", ("b",))
    first = ImportOptions(**FOLDERS, structures=MERGED)
    import_dataset(tmp_path / "one", tmp_path / "data", first)
    turned = dict(reversed(MERGED.items()))
    add = ImportOptions(**FOLDERS, structures=turned, add=True)
    import_dataset(tmp_path / "two", tmp_path / "data", add)

    labels = [read_label(p).array for p in (tmp_path / "data" / "labelsTr").iterdir()]
    assert np.array_equal(labels[0], labels[1])
    assert read_description(tmp_path / "data").labels["kidney"] == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"structures": {"a": ("lver",)}}, "found lver, but the labels have kidney_"),
        ({"instances": True}, "found masks of structures"),
        ({"ignore": 255}, "found masks of structures"),
        ({"overlap": "both"}, "--overlap both: expected first or last"),
        ({"reference": "x", "images": None, "labels": None}, "dataset.json, or"),
    ],
)
def test_options_that_masks_cannot_follow_are_refused(
    options: dict[str, object], words: str, tmp_path: Path
) -> None:
    write_structures(tmp_path / "source")

    with pytest.raises(DataError, match=words):
        import_dataset(
            tmp_path / "source",
            tmp_path / "data",
            ImportOptions(**{**FOLDERS, **options}),
        )


def test_a_segmentation_that_slicer_cut_lies_in_its_place(tmp_path: Path) -> None:
    """Its names make the structures; what is cut off is background."""
    source = tmp_path / "source"
    write_nifti(source / "a.nii", noise(0), drawn=False)
    write_slicer(source / "a.seg.nrrd", ("liver",), (box(0, 3)[:5],))
    options = ImportOptions(images="{case}.nii", labels="{case}.seg.nrrd")
    import_dataset(source, tmp_path / "data", options)

    assert read_description(tmp_path / "data").labels == {"background": 0, "liver": 1}
    label = read_label(tmp_path / "data" / "labelsTr" / "a.nii.gz")
    assert np.array_equal(label.array, box(0, 3))


def test_names_of_dataset_json_are_selected_and_merged(tmp_path: Path) -> None:
    write_dataset(tmp_path / "source", cases=1, ignore=9)
    options = ImportOptions(structures={"both": ("ball", "core")})
    import_dataset(tmp_path / "source", tmp_path / "data", options)

    assert read_description(tmp_path / "data").labels == {
        "background": 0,
        "both": 1,
        "ignore": 9,
    }
    old = read_label(tmp_path / "source" / "labelsTr" / "case_00.nii").array
    new = read_label(tmp_path / "data" / "labelsTr" / "case_00.nii").array
    assert np.array_equal(new, np.where(old == 3, 1, old))


def test_a_label_map_has_no_names(tmp_path: Path) -> None:
    write_observers(tmp_path / "source")
    options = ImportOptions(
        images="{case}.png",
        labels="{case}_{observer}.png",
        reference="1stHO",
        structures={"a": ("vessel",)},
    )

    with pytest.raises(DataError, match="found a label map without; give --structure"):
        import_dataset(tmp_path / "source", tmp_path / "data", options)


FLAT = (12, 10, 1)


def write_masks(source: Path, *values: int) -> None:
    """A case of each value, named by it."""
    for value in values:
        image, label = source / "images", source / "labels"
        write_png(image / f"{value}.png", noise(value, FLAT), drawn=False)
        write_png(label / f"{value}.png", box(1, 4, value, FLAT))


# The value in the data, the values of the masks that join, and how the look names them.
DELIVERIES: list[tuple[int, tuple[int, ...], dict[str, object]]] = [
    (1, (255,), {"vessel": 255}),
    (255, (1,), {"vessel": 1}),
    (1, (1, 255), {"vessel": (1, 255)}),
    (255, (1, 255), {"vessel": (1, 255)}),
    (1, (1,), {"vessel": 1}),
]


@pytest.mark.parametrize(("known", "values", "named"), DELIVERIES)
def test_masks_join_the_only_structure_whatever_their_value(
    known: int, values: tuple[int, ...], named: dict[str, object], tmp_path: Path
) -> None:
    """The proposal, and each mend that an error gives on the way to it, works."""
    data, folders = tmp_path / "data", {"images": "images", "labels": "labels"}
    write_masks(tmp_path / "s", known)
    first = ImportOptions(**folders, structures={"vessel": known})
    import_dataset(tmp_path / "s", data, first)
    write_masks(tmp_path / "t", *values)
    for value in values:  # under other names than those in the data
        for file in sorted((tmp_path / "t").rglob(f"{value}.png")):
            file.rename(file.with_name(f"new_{value}.png"))
    (found,) = look(tmp_path / "t").proposals
    labels = read_description(data).labels
    joined = found.joined(ImportOptions(add=True), labels)
    assert joined.structures in (named, {})
    other = {"structure_1": named["vessel"]}
    text = ",".join(map(str, np.atleast_1d(np.array(named["vessel"])).tolist()))
    mend = f"as in --structure vessel={text}"

    with pytest.raises(DataError, match=f"found --structure structure_1; .*{mend}"):
        import_dataset(
            tmp_path / "t", data, ImportOptions(**folders, structures=other, add=True)
        )
    mended = ImportOptions(**folders, structures=named, add=True)
    for options in (joined, mended):
        import_dataset(tmp_path / "t", data, options)
    for value in values:
        label = raster.read_label(data / "labelsTr" / f"new_{value}.png").array
        assert np.array_equal(label, box(1, 4, known, FLAT))


def test_a_delivery_with_a_name_of_its_own_is_not_taken_for_another(
    tmp_path: Path,
) -> None:
    """Spleens of value 1 were taken for livers, whose value was 1."""
    data = tmp_path / "data"
    for name in ("liver", "spleen"):
        write_nifti(tmp_path / name / f"{name[0]}.nii", noise(0), drawn=False)
        write_nifti(tmp_path / name / f"{name[0]}_{name}_mask.nii", box(1, 4))
    (first,) = look(tmp_path / "liver").proposals
    import_dataset(tmp_path / "liver", data, first)
    (second,) = look(tmp_path / "spleen").proposals
    labels = read_description(data).labels
    joined = second.joined(ImportOptions(add=True), labels)

    assert joined.structures == {"spleen": 1}
    with pytest.raises(DataError, match=r"data to add to \(liver\), found .*spleen"):
        import_dataset(tmp_path / "spleen", data, joined)
