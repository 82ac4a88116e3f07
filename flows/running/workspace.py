"""Workspace: a project's folder, in which one run at a time is at work.

What another machine must know to do a part of the work is a commit on a branch of its
own, ``segpipe/COMMIT``, made without touching the index or the branch at hand.
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
from segpipe.project.errors import DataError

# What a person or a flow may change and the run branch takes up; all else is code.
OURS = ("params.yaml", "data.dvc", "dvc.lock")
CODE = ("segpipe", "flows", "dvc.yaml", ".dvc")
AUTHOR = {
    "GIT_AUTHOR_NAME": "segpipe",
    "GIT_AUTHOR_EMAIL": "segpipe@localhost",
    "GIT_COMMITTER_NAME": "segpipe",
    "GIT_COMMITTER_EMAIL": "segpipe@localhost",
}


@contextmanager
def occupied(root: str | Path) -> Iterator[None]:
    """Wait until no other run is at work in a workspace, then keep others waiting.

    DVC gives up after some seconds, and may lose a finished stage doing so. The kernel
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
                    get_run_logger().info("another run is at work in %s: waiting", root)
                told = True
                time.sleep(1)
        yield


def has_git(root: str | Path) -> bool:
    """Whether the folder is git's, with a commit."""
    try:
        git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    except CommandError:
        return False
    return True


def uncommitted_code(root: str | Path) -> list[str]:
    """Files that differ from the commit and are not the flow's to commit."""
    changed = git(root, "diff", "--name-only", "HEAD").splitlines()
    words = ["ls-files", "--others", "--exclude-standard", "--", *CODE]
    names = [*changed, *git(root, *words).splitlines()]
    return [name for name in names if name not in OURS]


def commit_run(root: str | Path) -> str:
    """Commit params.yaml, data.dvc and dvc.lock to a branch; returns the commit.

    The same content on the same commit gives the same commit, and no new one if
    nothing differs.

    Raises:
        DataError: If code is uncommitted: nobody could say later what ran.
    """
    strange = uncommitted_code(root)
    if strange:
        raise DataError(
            f"{root}: expected committed code, found changes in "
            f"{', '.join(strange[:5])}{' …' * (len(strange) > 5)}; commit them, since "
            "other machines get commits only"
        )
    place = Path(git(root, "rev-parse", "--absolute-git-dir"))
    index = {"GIT_INDEX_FILE": str(place / "segpipe-index")}
    # With its time: git takes a file of the index's second for possibly changed.
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
    """The name of the branch that ends in a commit of a run."""
    return f"segpipe/{commit[:12]}"


def check_out(workspace: Path, repository: str, commit: str) -> None:
    """Bring a clone to a commit, whatever it held; caches and checkpoints stay.

    Artifacts of another commit go: DVC would take them for changes made here.

    Args:
        workspace: Folder of the clone, no person's; made if there is none.
        repository: Address or path that git fetches from.
        commit: To check out.

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
    """Where DVC shares results, as all clones know it; none if nowhere.

    Raises:
        DataError: If the address means something else in each clone.
    """
    config = configparser.ConfigParser(interpolation=None)
    config.read(Path(root) / ".dvc" / "config", encoding="utf-8")
    name = config.get("core", "remote", fallback="")
    if not name:
        return None
    url = config.get(f"'remote \"{name}\"'", "url")  # dvc itself would complete it
    if "://" not in url and not Path(url).is_absolute():
        raise DataError(
            f"{root}/.dvc/config, remote {name}: expected an address or an absolute "
            f"path, found {url}, which every clone takes relative to itself; "
            f"`dvc remote modify {name} url` changes it"
        )
    return url
