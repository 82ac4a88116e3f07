"""Workspace: a project's folder, in which one run works at a time.

Another machine gets its part of the work as a commit on its own branch,
``segpipe/COMMIT``, made without changing the index or the current branch.
"""

import configparser
import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect import get_run_logger

from flows.running.commands import CommandError, git
from segpipe.dataset.split import LOCK
from segpipe.project.errors import DataError

# Files that people and flows may change and that the branch includes; the rest is code.
OURS = ("params.yaml", "data.dvc", "dvc.lock", LOCK)
CODE = ("segpipe", "flows", "dvc.yaml", ".dvc", "study.json")
AUTHOR = {
    "GIT_AUTHOR_NAME": "segpipe",
    "GIT_AUTHOR_EMAIL": "segpipe@localhost",
    "GIT_COMMITTER_NAME": "segpipe",
    "GIT_COMMITTER_EMAIL": "segpipe@localhost",
}


@contextmanager
def occupied(root: str | Path) -> Iterator[None]:
    """Wait until no other run works in a workspace, then make others wait.

    DVC itself waits only some seconds, and may then lose a finished stage. The kernel
    frees the lock of a run that was killed.
    """
    folder = Path(root) / ".dvc" / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "segpipe.lock").open("w") as file:
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    get_run_logger().info("another run works in %s: waiting", root)
                told = True
                time.sleep(1)
        yield


def has_git(root: str | Path) -> bool:
    """Whether the folder is a git repository with a commit."""
    try:
        git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    except CommandError:
        return False
    return True


def uncommitted_code(root: str | Path) -> list[str]:
    """Files that differ from the commit and that no flow may commit."""
    changed = git(root, "diff", "--name-only", "HEAD").splitlines()
    words = ["ls-files", "--others", "--exclude-standard", "--", *CODE]
    names = [*changed, *git(root, *words).splitlines()]
    return [name for name in names if name not in OURS]


def commit_run(root: str | Path) -> str:
    """Commit params.yaml, data.dvc and the locks to a branch; returns the commit.

    The same content on the same commit gives the same new commit. If nothing differs,
    no commit is made.

    Raises:
        DataError: If code is uncommitted, as nobody could tell later which code ran.
    """
    strange = uncommitted_code(root)
    if strange:
        raise DataError(
            f"{root}: expected committed code, found changes in "
            f"{', '.join(strange[:5])}{' …' * (len(strange) > 5)}; commit them, since "
            "other machines only get commits"
        )
    place = Path(git(root, "rev-parse", "--absolute-git-dir"))
    index = {"GIT_INDEX_FILE": str(place / "segpipe-index")}
    # copy2 keeps its time: git checks a file again that is as young as the index.
    shutil.copy2(place / "index", place / "segpipe-index")
    known = [name for name in OURS if (Path(root) / name).is_file()]
    git(root, "add", "--force", "--", *known, environment=index)
    tree = git(root, "write-tree", environment=index)
    head, at = git(root, "log", "-1", "--format=%H %ct").split()
    if tree == git(root, "rev-parse", "HEAD^{tree}"):
        return head
    dated = {f"GIT_{who}_DATE": f"{at} +0000" for who in ("AUTHOR", "COMMITTER")}
    words = ["commit-tree", tree, "-p", head, "-m", "Params, data and lock of a run"]
    commit = git(root, *words, environment={**AUTHOR, **dated})
    git(root, "update-ref", f"refs/heads/{branch_of(commit)}", commit)
    return commit


def branch_of(commit: str) -> str:
    """Name of the branch whose head is the commit of a run."""
    return f"segpipe/{commit[:12]}"


def check_out(workspace: Path, repository: str, commit: str) -> None:
    """Bring a clone to a commit, whatever its state; caches and checkpoints stay.

    Artifacts of another commit are deleted, as DVC would treat them as local changes.

    Args:
        workspace: Folder of the clone, which no person uses; created if needed.
        repository: Address or path that git fetches from.
        commit: The commit to check out.

    Raises:
        CommandError: If git cannot reach the repository.
    """
    workspace.mkdir(parents=True, exist_ok=True)
    git(workspace, "init", "--quiet")
    git(workspace, "fetch", "--quiet", "--", repository, commit)
    if not has_git(workspace) or git(workspace, "rev-parse", "HEAD") != commit:
        shutil.rmtree(workspace / "artifacts", ignore_errors=True)
    git(workspace, "checkout", "--quiet", "--force", "--detach", commit)


def remote_of(root: str | Path) -> str | None:
    """Address of the DVC remote in the configuration that all clones share, if any.

    Raises:
        DataError: If the address has another meaning in each clone.
    """
    config = configparser.ConfigParser(interpolation=None)
    config.read(Path(root) / ".dvc" / "config", encoding="utf-8")
    name = config.get("core", "remote", fallback="")
    if not name:
        return None
    url = config.get(f"'remote \"{name}\"'", "url")  # dvc would make it absolute
    if "://" not in url and not Path(url).is_absolute():
        raise DataError(
            f"{root}/.dvc/config, remote {name}: expected an address or an absolute "
            f"path, found {url}, which is relative to each clone; "
            f"`dvc remote modify {name} url` changes it"
        )
    return url
