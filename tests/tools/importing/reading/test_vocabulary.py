"""One vocabulary says which values or names of a source make which structure."""

import pytest

from segpipe.project.errors import DataError
from segpipe.tools.importing.reading.vocabulary import (
    Structures,
    are_named,
    format_structures,
    parse_structures,
    refuse_unseen,
    sources_of,
    values_of,
)


def test_structures_are_name_and_value() -> None:
    assert parse_structures(["a=1", "b c=-2"]) == {"a": 1, "b c": -2}
    for texts in (["a"], ["=1"], ["a=1,"], ["a=1", "a=2"], ["a=1", "b=1"], ["a=x,x"]):
        with pytest.raises(DataError, match="--structure"):
            parse_structures(texts)


# Texts, whether names make them, value of each structure, value of each source.
VOCABULARY: list[tuple[list[str], bool, dict[str, int], dict[int | str, int]]] = [
    (["liver=1"], False, {"liver": 1}, {1: 1}),
    (["vessel=1,255"], False, {"vessel": 1}, {1: 1, 255: 1}),
    (["kidney=3,2", "liver=5"], False, {"kidney": 3, "liver": 5}, {3: 3, 2: 3, 5: 5}),
    (["liver=5", "background=*"], False, {"liver": 5}, {5: 5, "*": 0}),
    (["liver=2"], True, {"liver": 2}, {"liver": 2}),
    (["kidney=left,right"], True, {"kidney": 1}, {"left": 1, "right": 1}),
    (["a=x", "b=1"], True, {"a": 2, "b": 1}, {"x": 2, "b": 1}),
]


@pytest.mark.parametrize(("texts", "named", "values", "sources"), VOCABULARY)
def test_values_and_names_are_selected_merged_and_renamed_alike(
    texts: list[str],
    named: bool,
    values: dict[str, int],
    sources: dict[int | str, int],
) -> None:
    found = parse_structures(texts)

    assert values_of(found, named=named) == values
    assert sources_of(found, values, named=named) == sources
    assert format_structures(found) == texts


@pytest.mark.parametrize(
    ("structures", "named"),
    [({"a": 1}, False), ({"a": (1, 2)}, False), ({"a": ("x", 2)}, True)],
)
def test_a_name_among_the_sources_asks_for_names(
    structures: Structures, named: bool
) -> None:
    assert are_named(structures) == named


def test_a_structure_that_joins_data_has_their_value() -> None:
    declared = {"background": 0, "kidney": 7}

    assert values_of({"kidney": ("l", "r")}, named=True, declared=declared) == {
        "kidney": 7
    }


def test_a_name_that_no_label_has_is_refused_with_those_that_they_have() -> None:
    with pytest.raises(DataError, match="found lver, but the labels have liver"):
        refuse_unseen({"lver": 1, "*": 0}, {"liver"})
