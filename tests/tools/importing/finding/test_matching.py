"""Matching: patterns of paths against files."""

from pathlib import Path

from segpipe.tools.importing.finding.matching import find_matches, is_pattern


def test_a_folder_is_no_pattern() -> None:
    assert is_pattern("{case}.png")
    assert not is_pattern("images")
    assert not is_pattern(None)


def test_a_case_has_the_longest_name_that_is_known() -> None:
    files = ["a_1_ct.png", "a_ct.png"]
    pattern = "{case}_{channel}.png"

    free = list(find_matches(Path("s"), files, pattern))
    known = list(find_matches(Path("s"), files, pattern, cases={"a"}))

    assert [(one.case, one.channel) for one in free] == [("a_1", "ct"), ("a", "ct")]
    assert [(one.case, one.channel) for one in known] == [("a", "1_ct"), ("a", "ct")]


def test_a_case_that_stands_twice_in_a_path_is_one_name() -> None:
    files = ["a/a.png", "a/b.png"]

    found = list(find_matches(Path("s"), files, "{case}/{case}.png"))

    assert [one.path for one in found] == [Path("s/a/a.png")]
