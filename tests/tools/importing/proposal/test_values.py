"""Values of label files mean structures, instances, greys or nothing annotated."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile

from segpipe.images.formats.raster import write_image
from segpipe.project.errors import DataError
from segpipe.tools.importing.proposal.values import (
    Overlaps,
    Sample,
    are_instances,
    binarize_at,
    look_drawn,
    may_ignore,
    measure_overlaps,
    one_value_each,
    take_sample,
)
from segpipe.tools.importing.reading.labels import LabelRules, read_label_map
from tests.support.sources import box, noise, write_png

FLAT = (12, 10, 1)


def sample(*files: dict[int, int], pieces: tuple[float, ...] = ()) -> Sample:
    return Sample(files, pieces, len(files))


@pytest.mark.parametrize(
    ("files", "threshold"),
    [
        (({0: 900, 130: 2, 233: 1, 255: 97},), 128),  # stray greys
        (({0: 900, **dict.fromkeys(range(1, 255), 1), 255: 900},), 128),  # antialiased
        (({0: 900, 255: 97},), None),
        (({0: 900, 1: 50, 255: 50},), None),
        (({0: 900, 1: 50, 2: 50, 255: 50},), None),  # may be ignore
        (({0: 500, 127: 200, 255: 300},), None),  # two structures, as greys
        (({0: 900, 1: 50, 2: 50},), None),
    ],
)
def test_greys_between_0_and_a_high_value_are_binarized(
    files: tuple[dict[int, int], ...], threshold: int | None
) -> None:
    assert binarize_at(sample(*files)) == threshold


IDS = dict.fromkeys(range(1, 31), 9)


@pytest.mark.parametrize(
    ("found", "instances"),
    [
        (sample({0: 9, 1: 9, 2: 9}), False),
        (sample({0: 9, **IDS}, pieces=(1.0,)), True),
        (sample({0: 9, **IDS}, pieces=(1.32,)), False),  # organs in pieces
        (sample({0: 9, **dict.fromkeys(range(1, 11), 9)}, pieces=(1.0,)), None),
        (sample(*[{0: 9, **IDS}] * 3, pieces=(1.0,) * 3), False),  # the same in all
        (sample({0: 9, **dict.fromkeys(range(300), 1)}, pieces=(3.0,)), True),
    ],
)
def test_ids_of_instances_are_many_in_one_piece_each_and_differ_by_file(
    found: Sample, instances: bool | None
) -> None:
    assert are_instances(found) is instances


def test_masks_of_1_and_255_are_one_structure() -> None:
    assert one_value_each(sample({0: 9, 1: 2}, {0: 9, 255: 2}))
    assert not one_value_each(sample({0: 9, 1: 2, 255: 2}))
    assert not one_value_each(sample({0: 9, 1: 2}, {0: 9, 2: 2}))
    assert may_ignore(sample({0: 9, 1: 2, 255: 2}))
    assert not may_ignore(sample({0: 9, 255: 2}))


def test_a_sample_of_many_files_says_how_many_there_are(tmp_path: Path) -> None:
    files = [tmp_path / f"{n}.png" for n in range(50)]
    for file in files:
        write_png(file, box(1, 3, 7, FLAT))
    found = take_sample(files)

    assert (len(found.files), found.total) == (17, 50)
    assert found.counts == {0: 17 * 108, 7: 17 * 12}


def test_soft_and_lossy_masks_are_cut_in_their_middle(tmp_path: Path) -> None:
    soft = tmp_path / "soft.tif"
    tifffile.imwrite(soft, np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10))
    lossy = tmp_path / "lossy.jpg"
    PIL.Image.fromarray(box(2, 8, 255, FLAT)[..., 0]).save(lossy, quality=100)
    coloured = tmp_path / "coloured.png"
    write_image(coloured, np.stack([noise(n, FLAT) for n in range(3)]))

    assert binarize_at(take_sample([soft])) == 0.5
    assert binarize_at(take_sample([lossy])) in (127.0, 128.0)
    with pytest.raises(DataError, match="expected one label a pixel"):
        take_sample([coloured])


def test_labels_are_told_from_images_by_their_voxels(tmp_path: Path) -> None:
    write_png(tmp_path / "image.png", noise(0, FLAT), drawn=False)
    write_png(tmp_path / "label.png", box(1, 4, 3, FLAT) + box(6, 9, 9, FLAT))

    assert not look_drawn(tmp_path / "image.png")
    assert look_drawn(tmp_path / "label.png")


def test_masks_that_share_voxels_are_seen(tmp_path: Path) -> None:
    for name, array in {"a": box(1, 4), "b": box(3, 5), "c": box(7, 9)}.items():
        write_png(tmp_path / f"{name}.png", array[..., :1] * np.uint8(255))
    rules = LabelRules(binarize=128.0)

    def measured(*names: str) -> Overlaps:
        files = [(name, tmp_path / f"{name}.png") for name in names]
        return measure_overlaps(
            [[(n, read_label_map(f, rules=rules).array != 0) for n, f in files]]
        )

    found = measured("a", "b", "c")
    assert dict(found.sizes) == {"a": 18, "b": 12, "c": 12}
    assert found.undecided
    assert not measured("a", "c").undecided
