"""Lines lie where an instance ends."""

from pathlib import Path

import numpy as np
import PIL.Image

from experiments.nuclei_picture import choose_images, draw_outlines, edges, fullest_box
from experiments.nuclei_sides import Row


def test_the_edge_of_a_square_is_its_outermost_two_rings() -> None:
    ids = np.zeros((12, 12), dtype=np.int32)
    ids[2:10, 2:10] = 1

    ring = ids != 0
    ring[4:8, 4:8] = False
    assert (edges(ids) == ring).all()


def test_a_line_parts_what_touches_and_none_follows_the_border_of_the_image() -> None:
    ids = np.repeat([[1, 1, 1, 2, 2, 2]], 4, axis=0)

    assert edges(ids).tolist() == [[False, True, True, True, True, False]] * 4


def test_the_crop_is_where_most_instances_are() -> None:
    ids = np.zeros((256, 256), dtype=np.int32)
    ids[250, [200, 220, 240]] = 1, 2, 3
    ids[10, 10] = 4
    rows, columns = fullest_box(ids)

    assert rows.start <= 250 < rows.stop
    assert columns.start <= 200
    assert columns.stop > 240


def test_the_picture_has_a_row_for_each_group(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = {
        "a": Row("a", "brightfield", 256, 256),
        "b": Row("b", "fluorescence", 256, 256),
        "c": Row("c", "fluorescence", 256, 256),
    }
    ids = {name: rng.integers(0, n, (100, 100)) for n, name in enumerate("abc", 2)}
    images = {name: rng.integers(0, 255, (100, 100, 3), dtype=np.uint8) for name in ids}

    assert choose_images(ids, rows) == ["c", "a"]
    draw_outlines(tmp_path / "x.png", images, {"reference": ids, "ours": ids}, rows)
    with PIL.Image.open(tmp_path / "x.png") as picture:
        assert picture.size == (385, 407)  # two of 1.75 x 1.85 inches at 110 dots
