"""All methods learn from the same images, whoever asks and in whatever order."""

from collections import Counter
from pathlib import Path

from experiments.nuclei_sides import Row, choose_sides, read_rows


def rows(stain: str, count: int, size: int) -> list[Row]:
    """Images of a stain and a size."""
    return [Row(f"{stain}-{size}-{n:03}", stain, size, size) for n in range(count)]


SET = [
    *rows("brightfield", 12, 256),
    *rows("fluorescence", 120, 256),
    *rows("fluorescence", 32, 520),
]


def test_each_stain_and_size_is_on_all_sides_in_proportion() -> None:
    sides = choose_sides(SET)

    count = Counter((row.stain, row.height, sides[row.name]) for row in SET)
    assert count["brightfield", 256, "test"] == 3
    assert count["fluorescence", 256, "test"] == 30
    assert count["fluorescence", 520, "test"] == 8
    assert count["brightfield", 256, "validation"] == 2
    assert Counter(sides.values()) == {"training": 102, "validation": 21, "test": 41}


def test_the_order_of_the_index_does_not_matter() -> None:
    assert choose_sides(SET[::-1]) == choose_sides(SET)


def test_the_stain_is_the_word_before_the_stroke(tmp_path: Path) -> None:
    text = "id,height,width,stain\na,256,320,brightfield/H&E\n"
    (tmp_path / "index.csv").write_text(text, encoding="utf-8")

    assert read_rows(tmp_path) == [Row("a", "brightfield", 256, 320)]
