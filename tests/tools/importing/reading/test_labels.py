"""What was drawn becomes one label map, whatever the format; nothing in silence."""

from pathlib import Path

import numpy as np
import pytest

from segpipe.images.formats.raster import write_image
from segpipe.project.errors import DataError
from segpipe.tools.importing.reading.labels import (
    Drawn,
    LabelRules,
    Notes,
    names_in,
    read_drawn,
    read_label_map,
)
from tests.support.sources import box, write_nifti, write_png, write_slicer

FLAT = (12, 10, 1)


def masks(folder: Path, **arrays: np.ndarray) -> Drawn:
    files = tuple(folder / f"{name}.nii" for name in arrays)
    for file, array in zip(files, arrays.values(), strict=True):
        write_nifti(file, array)
    return Drawn(files, tuple(arrays))


def test_masks_of_1_and_of_255_are_alike(tmp_path: Path) -> None:
    drawn = masks(tmp_path, axon=box(1, 4), myelin=box(5, 8, 255))
    rules = LabelRules(sources={"axon": 1, "myelin": 2}, named=True)
    found = read_drawn(drawn, rules, Notes())

    assert np.array_equal(found.array, box(1, 4) + box(5, 8, 2))


@pytest.mark.parametrize(("overlap", "shared"), [("first", 1), ("last", 2)])
def test_a_voxel_of_two_masks_is_refused_or_goes_to_one_in_order(
    overlap: str, shared: int, tmp_path: Path
) -> None:
    """Rows 3 lies in both: 6 x 6 voxels."""
    drawn = masks(tmp_path, b=box(3, 6), a=box(1, 4))
    rules = LabelRules(sources={"a": 1, "b": 2}, named=True)

    with pytest.raises(DataError, match=r"36 of a and b.*--overlap first or"):
        read_drawn(drawn, rules, Notes())
    notes = Notes()
    chosen = LabelRules(sources=rules.sources, named=True, overlap=overlap)
    found = read_drawn(drawn, chosen, notes)
    assert set(np.unique(found.array[3])) == {0, shared}
    assert "36 voxels" in notes.dropped[drawn.files[0]][0]


def test_merged_masks_may_overlap_and_others_are_left_out(tmp_path: Path) -> None:
    drawn = masks(tmp_path, left=box(1, 4), right=box(3, 6), spine=box(8, 9))
    rules = LabelRules(sources={"left": 7, "right": 7, "rib": 3}, named=True)
    notes = Notes()
    found = read_drawn(drawn, rules, notes)

    assert np.array_equal(found.array, box(1, 6, 7))
    assert notes.dropped[drawn.files[2]] == ["the structure spine"]
    assert notes.assumed[drawn.files[0]] == [
        "no file or segment of rib: taken as absent"
    ]


def test_stray_greys_are_refused_with_the_threshold_that_mends_it(
    tmp_path: Path,
) -> None:
    grey = box(1, 4, 255, FLAT)
    grey[1, 2], grey[1, 3] = 130, 40
    drawn = Drawn((tmp_path / "a.png",), ("a",))
    write_png(drawn.files[0], grey)
    rules = LabelRules(sources={"a": 1}, named=True)

    with pytest.raises(DataError, match=r"40 \(1 voxels\), 130 .*--binarize 128"):
        read_drawn(drawn, rules, Notes())
    notes = Notes()
    mended = LabelRules(sources={"a": 1}, named=True, binarize=128.0)
    found = read_drawn(drawn, mended, notes)
    assert np.array_equal(found.array, (grey >= 128).astype(int))
    assert notes.dropped[drawn.files[0]] == [
        "the values of 2 voxels between 0 and 255, by --binarize 128"
    ]


def test_a_lossy_mask_can_be_binarized_and_a_coloured_one_not(tmp_path: Path) -> None:
    grey = box(2, 8, 255, FLAT)[None]
    write_image(tmp_path / "a.png", np.concatenate([grey, grey, grey // 2]))
    rules = LabelRules(binarize=128.0)

    with pytest.raises(DataError, match="expected grey values to binarize"):
        read_label_map(tmp_path / "a.png", rules=rules)
    write_image(tmp_path / "b.png", np.concatenate([grey] * 3))
    found = read_label_map(tmp_path / "b.png", rules=rules)
    assert np.array_equal(found.array, box(2, 8, 1, FLAT))


def test_values_of_a_label_map_are_merged_selected_and_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    write_nifti(path, box(1, 2, 1) + box(3, 4, 2) + box(5, 6, 9) + box(7, 8, 4))
    drawn = Drawn((path,))
    notes = Notes()
    rules = LabelRules(sources={1: 1, 2: 1, "*": 0}, ignore=4)
    found = read_drawn(drawn, rules, notes)

    assert np.array_equal(found.array, box(1, 2) + box(3, 4) + box(7, 8, 4))
    assert notes.dropped[path] == ["value 9 (36 voxels)"]
    assert notes.assumed[path] == ["1, 2 in the file is 1 in data/"]
    with pytest.raises(DataError, match=r"found 9 in 36 voxels.*'background=\*'"):
        read_drawn(drawn, LabelRules(sources={1: 1, 2: 1, 4: 4}), Notes())


@pytest.mark.parametrize("layers", [1, 2])
def test_segments_of_slicer_are_known_by_their_names(
    layers: int, tmp_path: Path
) -> None:
    """In one layer they have two values; in two layers they may overlap."""
    path = tmp_path / "a.seg.nrrd"
    apart = (box(1, 3) + box(5, 7, 2),)
    write_slicer(path, ("b", "a"), apart if layers == 1 else (box(1, 3), box(5, 7)))
    drawn = Drawn((path,))

    assert names_in(drawn) == ("b", "a")
    rules = LabelRules(sources={"a": 1, "b": 2}, named=True)
    found = read_drawn(drawn, rules, Notes())
    assert np.array_equal(found.array, box(1, 3, 2) + box(5, 7))


def test_a_segment_in_a_layer_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.seg.nrrd"
    write_slicer(path, ("a",), (box(1, 3),))
    path.write_bytes(path.read_bytes().replace(b"Layer:=0", b"Layer:=3"))
    rules = LabelRules(sources={"a": 1}, named=True)

    with pytest.raises(DataError, match=r"'a' in one of 1 layers, found Layer 3"):
        read_drawn(Drawn((path,)), rules, Notes())


def test_masks_of_another_grid_are_refused(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", box(1, 3, shape=FLAT))
    write_png(tmp_path / "b.png", box(1, 3, shape=FLAT)[:-1])
    drawn = Drawn((tmp_path / "a.png", tmp_path / "b.png"), ("a", "b"))

    with pytest.raises(DataError, match=r"b\.png: expected the grid of .*a\.png"):
        read_drawn(drawn, LabelRules(sources={"a": 1, "b": 2}, named=True), Notes())


def test_a_mask_without_greys_stays_one_whatever_the_threshold(tmp_path: Path) -> None:
    mask = box(2, 6, shape=FLAT)
    write_png(tmp_path / "a.png", mask)

    rules = LabelRules(binarize=128.0)
    read = read_drawn(Drawn((tmp_path / "a.png",)), rules, Notes())

    assert np.array_equal(read.array, mask)


def test_greys_that_all_lie_below_the_threshold_are_refused(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", box(2, 4, 50, FLAT) + box(4, 6, 100, FLAT))

    rules = LabelRules(binarize=128.0)
    with pytest.raises(DataError, match="found 100 at most; give a lower --binarize"):
        read_drawn(Drawn((tmp_path / "a.png",)), rules, Notes())
