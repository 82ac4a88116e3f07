"""A split is read as it was written."""

from pathlib import Path

import pytest

from segpipe.dataset.split import Fold, Split, read_split, split_file
from segpipe.project.errors import DataError


def test_what_was_written_is_read(tmp_path: Path) -> None:
    split = Split(
        format_version=1, test=("c",), folds=(Fold(training=("a",), validation=("b",)),)
    )
    split.write(split_file(tmp_path))

    assert read_split(tmp_path) == split
    assert (tmp_path / "split" / "split.json").is_file()


def test_before_split_the_mend_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run `dvc repro`"):
        read_split(tmp_path)
