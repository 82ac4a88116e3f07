"""Letters, ids and order are drawn, and repeats come late."""

from collections import Counter

from segpipe.review.dossier import Source
from segpipe.review.items.blinding import (
    draw_letters,
    draw_order,
    draw_repeated,
    new_id,
    place_repeats,
)

SOURCES: list[Source] = ["candidate", "champion", "reference"]


def test_each_order_of_letters_is_as_likely() -> None:
    found = Counter(tuple(draw_letters(SOURCES).values()) for _ in range(3000))

    assert len(found) == 6
    assert all(380 < count < 620 for count in found.values())
    assert set(draw_letters(["candidate"])) == {"A"}


def test_ids_are_different_and_of_one_form() -> None:
    ids = {new_id() for _ in range(1000)}

    assert len(ids) == 1000
    assert {len(one) for one in ids} == {16}


def test_a_repeat_comes_after_its_original_in_the_second_half() -> None:
    for _ in range(50):
        order = draw_order([f"i{n}" for n in range(20)])
        chosen = draw_repeated(order, order[::-1], 3)
        placed = place_repeats(order, {f"r{one}": one for one in chosen})

        assert len(placed) == 23
        for one in chosen:
            assert placed.index(f"r{one}") >= 10
            assert placed.index(f"r{one}") > placed.index(one)


def test_all_can_be_repeated() -> None:
    assert sorted(draw_repeated(["a", "b"], ["a", "b"], 2)) == ["a", "b"]
    assert place_repeats(["a"], {"r": "a"}) == ["a", "r"]
