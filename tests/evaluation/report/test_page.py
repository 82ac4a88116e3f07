"""The page shows texts as texts, whatever they hold."""

from pathlib import Path

from markupsafe import Markup

from segpipe.evaluation.report.page import (
    Card,
    Files,
    Part,
    Picture,
    Row,
    Table,
    build_page,
    key_file,
    page_file,
    write_report,
)


def page(*parts: Part, cards: tuple[Card, ...] = ()) -> str:
    return build_page("Title", "sub", list(cards), list(parts), "end")


def test_names_cannot_become_markup() -> None:
    table = Table(("<script>",), (Row(("a", "<em>")),))

    text = page(Part("<i>", table=table), cards=(Card("<u>", "1", "&"),))

    assert not any(word in text for word in ("<script>", "<em>", "<i>", "<u>"))
    assert "&lt;script&gt;" in text


def test_winners_and_failures_are_marked_where_they_stand() -> None:
    row = Row(("Dice", "0.9", "0.1"), best=(1,), failed=(2,))

    text = page(Part("figures", table=Table(("", "a", "b"), (row,))))

    assert '<td class="best">0.9</td>' in text
    assert '<td class="failed">0.1</td>' in text
    assert "<td>Dice</td>" in text


def test_a_single_cell_is_a_heading_over_the_whole_width() -> None:
    text = page(Part("x", table=Table(("", "a", "b"), (Row(("Cases",)),))))

    assert 'colspan="3">Cases</td>' in text


def test_a_long_table_is_folded_behind_words() -> None:
    rows = (Row(("a", "1")),)
    folded = page(Part("x", table=Table(("", "n"), rows, "All <7>")))
    open_ = page(Part("x", table=Table(("", "n"), rows)))

    assert "<details><summary>All &lt;7&gt;</summary>" in folded
    assert folded.count("</details>") == 1
    assert "<details>" not in open_


def test_a_picture_travels_in_the_page_and_is_put_in_words() -> None:
    text = page(Part("x", pictures=(Picture("curve", b"\x89PNG", "a curve"),)))

    assert '<img alt="a curve" src="data:image/png;base64,iVBORw==">' in text


def test_facts_are_a_table_without_a_header() -> None:
    text = page(Part("x", table=Table(("", ""), (Row(("Data set", "<Liver>")),))))

    assert '<table class="facts">' in text
    assert "&lt;Liver&gt;" in text


def test_a_script_stands_in_a_page_with_panels_only() -> None:
    assert "<script" not in page(Part("x"))
    assert "<script" in page(Part("x", panels=(Markup("<div></div>"),)))


def test_the_files_beside_the_page_replace_earlier_ones(tmp_path: Path) -> None:
    files = Files(b"all", {"worst": b"w", "best": b"b"}, "figure,m\n", "number,case\n")
    part = Part("x", pictures=(Picture("curves", b"c", "curves"),))
    write_report(tmp_path, "page", [part], files)

    write_report(tmp_path, "page", [part], Files(b"all", {"worst": b"w"}, "f", "k"))

    folder = page_file(tmp_path).parent
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "index.html": b"page",
        "report.png": b"all",
        "curves.png": b"c",
        "worst.png": b"w",
        "figures.csv": b"f",
        "key.csv": b"k",
    }
    assert key_file(tmp_path) == folder / "key.csv"
