"""A digest is kept as long as nobody touched its file, and no longer."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from segpipe.dataset.casework import digests
from segpipe.dataset.casework.digests import UNSETTLED, DataDigests, keep_digests
from segpipe.project.paths import Paths

FILE = "imagesTr/a.nii"


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A project with a file whose digest is kept; it is settled at once."""
    monkeypatch.setattr(digests, "SETTLED_NS", -1_000_000_000)
    paths = Paths(tmp_path)
    (paths.data / "imagesTr").mkdir(parents=True)
    (paths.data / FILE).write_bytes(b"first")
    keep_digests(paths, {FILE: DataDigests(paths.data, {}).take(FILE)})
    return paths


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_an_untouched_file_is_known_without_its_bytes(paths: Paths) -> None:
    assert DataDigests.load(paths).known_of(FILE) == sha256(b"first")
    assert DataDigests.load(paths).known_of(FILE) == DataDigests.load(paths).of(FILE)


def rewrite(file: Path) -> None:
    file.write_bytes(b"other")


def rewrite_and_set_the_time_back(file: Path) -> None:
    before = file.stat()
    file.write_bytes(b"other")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(file: Path) -> None:
    before = file.stat()
    new = file.with_name("new")
    new.write_bytes(b"other")
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.rename(file)


@pytest.mark.parametrize("touch", [rewrite, rewrite_and_set_the_time_back, replace])
def test_a_touched_file_is_read_again(
    touch: Callable[[Path], None], paths: Paths
) -> None:
    """All of them leave the size as it was, two of them the time of change as well."""
    touch(paths.data / FILE)
    found = DataDigests.load(paths)

    assert found.known_of(FILE) is None
    assert found.of(FILE) == sha256(b"other")


def test_a_file_that_was_changed_just_now_is_not_trusted(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next change may come within the same tick of the clock."""
    monkeypatch.setattr(digests, "SETTLED_NS", 2_000_000_000)
    (paths.data / FILE).write_bytes(b"third")
    state, digest = DataDigests.load(paths).take(FILE)

    assert (state, digest) == (UNSETTLED, sha256(b"third"))


@pytest.mark.parametrize("text", ["", "{", "[1]", '[["a"]]', "\0"])
def test_damaged_digests_are_forgotten(text: str, paths: Paths) -> None:
    (paths.cache / "digests.json").write_text(text)

    assert DataDigests.load(paths).known == {}
