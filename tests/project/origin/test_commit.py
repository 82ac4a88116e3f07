import subprocess
from pathlib import Path

import pytest

from segpipe.project.errors import DataError
from segpipe.project.origin.commit import (
    data_version,
    describe_commit,
    git_tags,
    require_unchanged,
)


def test_the_commit_and_whether_files_differ_from_it(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-c", "user.name=n", "-c", "user.email=e@e", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    assert git_tags(tmp_path) == {}
    lock = tmp_path / "split.lock"
    assert describe_commit(tmp_path, written=lock) is None
    git("init", "--quiet")
    assert describe_commit(tmp_path, written=lock) is None  # no commit yet
    (tmp_path / "a").write_text("1")
    (tmp_path / "dvc.lock").write_text("1")
    lock.write_text("1")
    git("add", "a", "dvc.lock", "split.lock")
    git("commit", "--quiet", "-m", "m", "--date", "2001-02-03T04:05:06Z")
    commit = git("rev-parse", "HEAD")

    assert git_tags(tmp_path) == {"git.commit": commit, "git.dirty": "false"}
    day = git("show", "--no-patch", "--format=%cs")
    clean = f"{commit[:12]} of {day}"
    assert describe_commit(tmp_path, written=lock) == clean
    (tmp_path / "dvc.lock").write_text("2")  # DVC wrote it, and a stage
    assert git_tags(tmp_path)["git.dirty"] == "false"
    lock.write_text("2")
    assert describe_commit(tmp_path, written=lock) == clean
    (tmp_path / "a").write_text("2")
    assert git_tags(tmp_path)["git.dirty"] == "true"
    assert describe_commit(tmp_path, written=lock) == f"{clean}, with changes since"


def test_the_data_are_those_that_the_stages_ran_on(tmp_path: Path) -> None:
    """data.dvc may be newer than the artifacts: dvc.lock says what they are from."""
    assert data_version(tmp_path) is None
    (tmp_path / "data.dvc").write_text("outs:\n- md5: new.dir\n  path: data\n")
    assert data_version(tmp_path) == "new.dir"
    (tmp_path / "dvc.lock").write_text(
        "stages:\n  verify:\n    deps:\n    - path: data\n      md5: old.dir\n"
    )
    assert data_version(tmp_path) == "old.dir"


def test_an_output_is_the_one_that_dvc_knows_or_not_known_at_all(
    tmp_path: Path,
) -> None:
    """The MD5 is that of RFC 1321, appendix A.5, for abc."""
    file = tmp_path / "artifacts" / "a.csv"
    file.parent.mkdir()
    file.write_text("abc")
    require_unchanged(file, tmp_path)  # no dvc.lock
    (tmp_path / "dvc.lock").write_text(
        "stages:\n  s:\n    outs:\n    - path: artifacts/a.csv\n"
        "      md5: 900150983cd24fb0d6963f7d28e17f72\n"
    )
    require_unchanged(file, tmp_path)
    file.write_text("abd")

    with pytest.raises(DataError, match=r"a\.csv: expected the file .*dvc\.lock says"):
        require_unchanged(file, tmp_path)
    file.rename(tmp_path / "artifacts" / "b.csv")
    require_unchanged(tmp_path / "artifacts" / "b.csv", tmp_path)  # not listed


def test_a_folder_is_the_one_that_dvc_knows(tmp_path: Path) -> None:
    """The MD5 is what `dvc add` of DVC 3 wrote for these two files."""
    folder = tmp_path / "artifacts" / "a"
    (folder / "b").mkdir(parents=True)
    (folder / "one.txt").write_text("abc")
    (folder / "b" / "two.txt").write_text("abd")
    (tmp_path / "dvc.lock").write_text(
        "stages:\n  s:\n    outs:\n    - path: artifacts/a\n"
        "      md5: 50a7d772413c8022632b63ca1cb58f1f.dir\n"
    )
    require_unchanged(folder, tmp_path)
    (folder / "b" / "two.txt").write_text("abe")

    with pytest.raises(DataError, match=r"/a: expected the folder .*dvc\.lock says"):
        require_unchanged(folder, tmp_path)
