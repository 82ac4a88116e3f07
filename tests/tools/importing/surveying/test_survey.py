"""All files are looked at before anything is written."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from segpipe.images.formats.nifti import write_image as write_nifti
from segpipe.images.formats.raster import write_image, write_label
from segpipe.images.grid import Grid
from segpipe.project.errors import DataError
from segpipe.tools.importing.conversion import Conversion, ImportOptions
from segpipe.tools.importing.finding.sources import RawCase, RawCases
from segpipe.tools.importing.surveying.survey import choose_conversion

GREY = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1)
RGB = np.concatenate([GREY, GREY + 1, GREY + 2])


def labels(*values: int) -> np.ndarray:
    return np.resize(np.array(values), (8, 8, 1)).astype(np.int32)


def choose(
    folder: Path,
    *cases: tuple[np.ndarray, np.ndarray],
    ending: str = ".png",
    **options: object,
) -> Conversion:
    sources = []
    for number, (image, label) in enumerate(cases):
        files = folder / f"i{number}{ending}", folder / f"l{number}{ending}"
        write_image(files[0], image)
        write_label(files[1], label)
        sources.append(RawCase(f"c{number}", (files[0],), files[1]))
    values = ImportOptions(**options)  # type: ignore[arg-type]
    return choose_conversion(RawCases(tuple(sources)), values, None)


def test_every_value_becomes_a_structure_unless_named(tmp_path: Path) -> None:
    found = choose(tmp_path, (GREY, labels(0, 255)), (GREY, labels(0, 7)))
    named = choose(tmp_path, (GREY, labels(0, 7)), structures={"liver": 7})

    assert found.labels == {"background": 0, "structure_7": 7, "structure_255": 255}
    assert named.labels == {"background": 0, "liver": 7}


def test_a_value_nobody_named_is_refused_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found 9 in .*l1\.png"):
        choose(
            tmp_path,
            (GREY, labels(0, 7)),
            (GREY, labels(0, 9)),
            structures={"liver": 7},
        )


def test_ignore_is_no_structure(tmp_path: Path) -> None:
    found = choose(tmp_path, (GREY, labels(0, 1, 255)), ignore=255)

    assert found.labels == {"background": 0, "structure_1": 1}
    assert found.ignore == 255


def test_instance_ids_become_one_structure(tmp_path: Path) -> None:
    ids = np.arange(64).reshape(8, 8, 1)
    found = choose(tmp_path, (GREY, ids), instances=True, structures={"cell": 1})

    assert found.labels == {"background": 0, "cell": 1}


def test_instance_ids_without_the_word_are_answered_with_it(tmp_path: Path) -> None:
    image = np.zeros((1, 16, 16, 1), dtype=np.uint8)
    image[0, 0] = 1
    ids = np.arange(256).reshape(16, 16, 1)

    with pytest.raises(DataError, match=r"more than 200 values.*--instances"):
        choose(tmp_path, (image, ids))


@pytest.mark.parametrize(
    ("ending", "largest", "chosen"),
    [(".png", 255, ".png"), (".tif", 255, ".tif"), (".tif", 70000, ".tif")],
)
def test_the_ending_holds_all_labels(
    ending: str, largest: int, chosen: str, tmp_path: Path
) -> None:
    found = choose(tmp_path, (GREY, labels(0, largest)), ending=ending)

    assert found.ending == chosen


def test_colours_are_named_and_an_alpha_that_varies_is_kept(tmp_path: Path) -> None:
    opaque = np.concatenate([RGB, np.full_like(GREY, 255)])
    varied = np.concatenate([RGB, GREY])

    assert choose(tmp_path, (RGB, labels(0, 1))).channels == ("red", "green", "blue")
    assert len(choose(tmp_path, (opaque, labels(0, 1))).channels) == 3
    kept = choose(tmp_path, (opaque, labels(0, 1)), (varied, labels(0, 1)))
    assert kept.keep_alpha
    assert len(kept.channels) == 4


def test_a_spacing_for_files_that_have_one_is_refused(tmp_path: Path) -> None:
    grid = Grid.from_spacing((4, 4, 4), (1.0, 1.0, 1.0), "mm")
    file = tmp_path / "a.nii"
    write_nifti(file, np.ones((4, 4, 4), np.uint8), grid)
    sources = RawCases((RawCase("a", (file,), file),))

    with pytest.raises(DataError, match="leave the option out"):
        choose_conversion(sources, ImportOptions(spacing_mm=(1.0, 1.0, 1.0)), None)


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 1.0, 1.0), (0.0, 1.0)])
def test_a_spacing_is_one_length_an_axis(
    spacing: tuple[float, ...], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="expected 2 lengths above 0"):
        choose(tmp_path, (GREY, labels(0, 1)), spacing_mm=spacing)


def test_images_without_a_spacing_are_in_px(tmp_path: Path) -> None:
    assert choose(tmp_path, (GREY, labels(0, 1))).unit == "px"
    placed = choose(tmp_path, (GREY, labels(0, 1)), spacing_mm=(0.5, 0.5))
    assert placed.unit == "mm"


def write_slicer(path: Path, *names: str) -> Path:
    """A label map of 3D Slicer: value 1 has the first name, 2 the second."""
    array = np.zeros((4, 6, 8), np.uint8)
    array[1, 1:3], array[2, 3:5] = 1, 2
    image = SimpleITK.GetImageFromArray(array)
    for number, name in enumerate(names):
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_LabelValue", str(number + 1))
    SimpleITK.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize(
    ("names", "options", "words"),
    [
        (("liver", "spleen"), {"liver": 1, "spleen": 2}, None),
        (("Liver", "Spleen"), {"liver": 1, "spleen": 2}, None),
        (("Segment_1", "Segment_2"), {"liver": 1, "spleen": 2}, None),
        (("spleen", "liver"), {"liver": 1, "spleen": 2}, "expected 'spleen' as 2"),
        (("spleen", "liver"), {}, r"expected 'spleen' as 2, as the header of .*c0"),
        (("Segment_2", "Segment_1"), {}, None),
    ],
)
def test_organs_that_a_header_names_otherwise_are_refused(
    names: tuple[str, str], options: dict[str, int], words: str | None, tmp_path: Path
) -> None:
    named = names[0][:7] != "Segment"
    first = ("liver", "spleen") if named else names[::-1]
    grid = Grid.from_spacing((8, 6, 4), (1.0, 1.0, 1.0), "mm")
    cases = []
    for name, segments in (("c0", first), ("c1", names)):
        file = tmp_path / f"{name}.nii"
        write_nifti(file, np.arange(192, dtype=np.uint8).reshape(8, 6, 4), grid)
        label = write_slicer(tmp_path / f"{name}.seg.nrrd", *segments)
        cases.append(RawCase(name, (file,), label))
    raw, wanted = RawCases(tuple(cases)), ImportOptions(structures=options)

    if words is None:
        assert set(choose_conversion(raw, wanted, None).labels.values()) == {0, 1, 2}
        return
    with pytest.raises(DataError, match=rf"c1\.seg\.nrrd: {words}"):
        choose_conversion(raw, wanted, None)
