from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest

from segpipe.dataset.prepared import CaseIndex
from segpipe.project.documents import (
    parse_json,
    parse_yaml,
    write_folder,
    write_json,
    write_text,
)
from segpipe.project.errors import DataError
from tests.support.kills import count_kills


def test_a_document_comes_back_as_it_was_written(tmp_path) -> None:
    document = CaseIndex(format_version=1, cases={"ä": "1"})

    document.write(tmp_path / "deep" / "index.json")

    assert CaseIndex.read(tmp_path / "deep" / "index.json") == document
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["index.json"]


def test_another_format_is_refused_with_the_mend(tmp_path) -> None:
    path = tmp_path / "index.json"
    path.write_text('{"format_version": 2, "cases": {}}')

    with pytest.raises(DataError, match=r"index\.json: .*format_version.*dvc repro"):
        CaseIndex.read(path)


def test_a_missing_document_says_what_to_run(tmp_path) -> None:
    with pytest.raises(DataError, match="dvc repro"):
        CaseIndex.read(tmp_path / "index.json")


def test_nan_is_not_json(tmp_path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "x.json", {"a": float("nan")})

    assert not list(tmp_path.iterdir())


def write_often(path: Path, letter: str) -> None:
    for _ in range(300):
        write_text(path, letter * 100_000)


def test_two_writers_of_one_file_never_mix_and_leave_nothing(tmp_path) -> None:
    """With one temporary name, one renamed what the other had half written."""
    path = tmp_path / "volumes.csv"
    with ThreadPoolExecutor(2) as pool:
        ends = [pool.submit(write_often, path, letter) for letter in "ab"]
        while not all(end.done() for end in ends):
            if path.is_file():
                text = path.read_text()
                assert text in ("a" * 100_000, "b" * 100_000)
    for end in ends:
        end.result()

    assert [file.name for file in tmp_path.iterdir()] == ["volumes.csv"]


def test_two_writers_of_one_folder_are_one_and_an_error(tmp_path: Path) -> None:
    """With one temporary name, one deleted what the other had half written."""
    folder = tmp_path / "plan"
    with write_folder(folder) as part:
        (part / "plan.json").write_text("first")
        with (
            pytest.raises(DataError, match="plan: expected no other process that"),
            write_folder(folder),
        ):
            pass

    assert (folder / "plan.json").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["plan"]


def write_two(place: Path) -> None:
    with write_folder(place / "plan") as part:
        write_text(part / "plan.json", "new")
        write_text(part / "patches" / "m.json", "new")


def write_old(place: Path) -> None:
    write_text(place / "plan" / "plan.json", "old")
    write_text(place / "plan" / "other.json", "old")


def test_killed_before_any_step_and_repeated_a_folder_is_the_same(
    forker: Executor, tmp_path: Path
) -> None:
    assert count_kills(forker, tmp_path, prepare=write_old, act=write_two) > 10


def test_deep_json_and_yaml_that_repeats_itself_are_refused(tmp_path: Path) -> None:
    """Nine aliases of nine aliases, eight times, stand for 43 million values."""
    aliases = "\n".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)
    )
    for text in ("[" * 200 + "]" * 200, f"a0: &a0 [1]\n{aliases}", "a: &a [*a]"):
        with pytest.raises(DataError, match="at most 100 levels and 100000 values"):
            parse_yaml(tmp_path / "a.yaml", text)
    with pytest.raises(DataError, match=r"a\.json: expected JSON that nests"):
        parse_json(tmp_path / "a.json", b"[" * 100_000 + b"]" * 100_000)
    with pytest.raises(DataError, match=r"a\.json: expected JSON in UTF-8"):
        parse_json(tmp_path / "a.json", b"{")


def test_a_few_aliases_are_read_as_what_they_stand_for(tmp_path: Path) -> None:
    found = parse_yaml(tmp_path / "a.yaml", "a: &x [1, 1e-3]\nb: {c: *x}\n")

    assert found == {"a": [1, 0.001], "b": {"c": [1, 0.001]}}
