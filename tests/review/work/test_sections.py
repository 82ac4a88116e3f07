"""What the readers say is told in plain words, with every figure's interval."""

from pathlib import Path

from segpipe.review.work.sections import build_sections
from segpipe.review.work.summary import summarize
from tests.support.work import control, readings_of, shown, write_work


def told(root: Path, *, controls: bool = True) -> str:
    items = {f"rand{n}": shown("random", f"case{n}") for n in range(4)}
    items["wors"] = shown("worst", "bad <b>", rank=1)
    if controls:
        items["ctrl"] = control()
    volume = write_work(root, items)
    said = [
        (name, item, {"candidate": 1 if item in ("rand1", "wors") else 4})
        for name in ("jane", "john")
        for item in items
    ]
    readings = readings_of(volume, said)
    sections = build_sections(summarize(readings), readings)
    return "\n".join(
        f"{one.title}: {' '.join(one.sentences)} {[list(r.values()) for r in one.rows]}"
        for one in sections
    )


def test_each_figure_is_told_with_its_interval(tmp_path: Path) -> None:
    """1 of 4: 0.6 % to 80.6 % in the table of Clopper and Pearson."""
    text = told(tmp_path)

    assert (
        "1 of 4 random cases is not acceptable: 25.0 %, 95 % interval 0.6 % to 80.6 %."
        in text
    )
    assert "below 3 minor correction" in text
    assert "out of 40" in text
    assert "['bad <b>', '1', 'NOT acceptable', '1 unacceptable']" in text
    assert "no rate is estimated from them" in text
    assert "the candidate was rated higher 0 times, the champion once" in text
    assert "0 readings of 2 refused them" in text
    assert "['mirrored', 'nobody', 'Dr Jane, Dr John']" in text
    assert "Weights: linear" in text
    assert "Dr Jane and Dr John" in text
    assert "Median time at work on a case: 30 s" in text
    assert "do not count" not in text


def test_fewer_test_patients_than_asked_for_are_said(tmp_path: Path) -> None:
    items = {f"rand{n}": shown("random", f"case{n}", rank=n + 1) for n in range(4)}
    volume = write_work(tmp_path, items, patients=4)
    readings = readings_of(
        volume, [(name, one, {}) for name in ("jane", "john") for one in items]
    )
    first = build_sections(summarize(readings), readings)[0]

    assert (
        "one of each of the 4 test patients, where review.yaml asks for 30"
        in (first.sentences[2])
    )


def test_what_was_not_asked_for_is_said(tmp_path: Path) -> None:
    text = told(tmp_path, controls=False)

    assert "Controls: None was shown." in text
    assert "No case was read twice by the same reader." in text
