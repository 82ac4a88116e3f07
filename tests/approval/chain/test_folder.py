"""A record's file is added once, as a whole."""

import os
import tempfile
from pathlib import Path

import pytest

from segpipe.approval.chain.folder import add_link, read_links, record_path, turn
from segpipe.project.errors import DataError


def test_a_number_is_given_once(tmp_path: Path) -> None:
    add_link(tmp_path, 1, b"one")

    with pytest.raises(DataError, match="found one that another process added"):
        add_link(tmp_path, 1, b"two")
    (link,) = read_links(tmp_path)
    assert (link.number, link.content) == (1, b"one")


def test_a_hidden_folder_on_another_disk_is_named(tmp_path: Path) -> None:
    """Somebody moved .reviews to a larger disk and left a link."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second disk")
    with tempfile.TemporaryDirectory(dir=memory) as other:
        (tmp_path / ".reviews").symlink_to(other)

        with pytest.raises(DataError, match="nothing was signed: keep both folders"):
            add_link(tmp_path, 1, b"one")
        assert os.listdir(other) == []
    assert read_links(tmp_path) == []


def test_nothing_but_records_lies_where_git_looks(tmp_path: Path) -> None:
    with turn(tmp_path):
        add_link(tmp_path, 1, b"one")

    assert os.listdir(tmp_path / "reviews" / "records") == ["000001.json"]
    assert os.listdir(tmp_path / ".reviews") == ["chain.lock"]


def test_records_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (1_000_000, 2, 999_999):
        add_link(tmp_path, number, b"")

    assert record_path(tmp_path, 1_000_000).name == "1000000.json"
    numbers = [link.number for link in read_links(tmp_path)]
    assert numbers == [2, 999_999, 1_000_000]
