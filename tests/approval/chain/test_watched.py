"""A watched chain is as new as its files, and is read once per change."""

import os
from pathlib import Path

import pytest

from segpipe.approval.chain import watched
from segpipe.approval.chain.folder import record_path
from segpipe.approval.chain.verification import Verified, verify
from segpipe.approval.chain.watched import Watched
from segpipe.project.errors import DataError
from tests.support.reviews import reading, signed


def test_it_is_read_once_until_a_file_changes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []

    def count(root: Path) -> Verified:
        reads.append(root)
        return verify(root)

    monkeypatch.setattr(watched, "verify", count)
    chain = Watched(root)
    assert [len(chain.read().records) for _ in range(3)] == [12] * 3
    assert len(reads) == 1
    signed(reading("c9"), "rob", root)

    assert chain.read().records == verify(root).records
    assert len(chain.read().records) == 13


@pytest.mark.parametrize("change", ["edited", "deleted", "added"])
def test_a_change_by_hand_is_seen_at_once(root: Path, change: str) -> None:
    """Also one that leaves size and time of the file as they were."""
    chain, path = Watched(root), record_path(root, 7)
    chain.read()
    content, about = path.read_bytes(), path.stat()
    if change == "edited":
        path.write_bytes(content.replace(b"31.5", b"32.5"))
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    elif change == "deleted":
        path.unlink()
    else:
        record_path(root, 13).write_bytes(content)

    with pytest.raises(DataError, match="nothing of this chain is believed"):
        chain.read()


def test_a_project_without_records_knows_nobody(tmp_path: Path) -> None:
    assert Watched(tmp_path).read().roster.active == {}
