"""All systems of the literature that learn, on two real sets for equal seconds.

Trials run in lanes and leave a small JSON file each; a finished one is not run again.
``--page`` runs nothing and writes docs/experiments/leaderboard.md from these files.
"""

import argparse
import logging
import math
import sys
import time
from pathlib import Path

from experiments.leaderboard.arms import Arm, build_trial
from experiments.leaderboard.lanes import Task, pending, run_lanes
from experiments.leaderboard.peer import NNUNET
from experiments.leaderboard.sets import (
    BOARDS,
    base_sections,
    prepare_set,
    processes,
)
from experiments.leaderboard.trial import Settings, environment_of, project
from experiments.trials import HOME
from segpipe.networks.catalogue import NETWORKS
from segpipe.project.origin.commit import git_tags

log = logging.getLogger("experiments.leaderboard")
TRIED = {"cuda": 30, "cpu": 3}


def parse(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.leaderboard", description=__doc__
    )
    add = parser.add_argument
    add("data", type=Path, nargs="?", help="folder of the sets")
    add(
        "--seconds",
        type=float,
        default=60,
        help="of the wall, or of one core without a GPU, a training",
    )
    add("--seeds", type=int, default=3, help="trainings an arm")
    add("--lanes", type=int, default=1, help="trials beside each other")
    add("--device", choices=["cpu", "cuda"], default="cpu")
    add("--width", choices=["narrow", "paper"], default="narrow")
    add("--until", type=float, default=math.inf, help="seconds that this may take")
    add("--only", nargs="+", default=[], metavar="SET/ARM", help="some; or SET")
    add("--work", type=Path, default=HOME / ".experiments" / "leaderboard")
    add(
        "--beside",
        type=Path,
        nargs="+",
        default=[],
        metavar="WORK",
        help="with --page: folders of other runs, whose tables the page has, too",
    )
    add("--peer", type=Path, help="environment of nnU-Net, which is an arm, too")
    add("--page", action="store_true", help="write the page, and run nothing")
    given = parser.parse_args(words)
    if not given.page and given.data is None:
        parser.error("the folder of the sets is missing")
    if given.peer and given.device != "cpu":
        parser.error("nnU-Net runs without a GPU here: leave out --peer")
    return given


def wanted(only: list[str], folder: str, arm: Arm) -> bool:
    """Whether an arm is to run: all are, unless ``--only`` names some."""
    return not only or folder in only or f"{folder}/{arm.name}" in only


def buildable(arm: Arm) -> bool:
    """Whether this version has the network of an arm."""
    return arm.changes.get("network", arm.model) in NETWORKS


def chosen_tasks(only: list[str], seeds: int, *, peer: bool) -> list[Task]:
    """All trials, the first seed of all arms before the second of any."""
    tasks = []
    for seed in range(1, seeds + 1):
        for folder, board in BOARDS.items():
            for arm in board.arms:
                if not wanted(only, folder, arm):
                    continue
                if buildable(arm):
                    tasks.append(Task(folder, arm.name, seed))
                elif seed == 1:
                    log.warning("%s / %s: left out, no such network", folder, arm.name)
            if peer and (not only or {folder, f"{folder}/{NNUNET}"} & set(only)):
                tasks.append(Task(folder, NNUNET, seed))
    return tasks


def prepare_all(
    tasks: list[Task], source: Path, settings: Settings, work: Path
) -> None:
    """Prepare the sets of the tasks."""
    for folder, board in BOARDS.items():
        own = [task for task in tasks if task.folder == folder]
        if not own:
            continue
        base = base_sections(board, device=settings.device, workers=processes())
        trials = [
            build_trial(board.arm(task.arm), task.seed, base, settings.width)
            for task in own
            if task.arm != NNUNET
        ] or [build_trial(board.arms[0], 1, base, settings.width)]
        prepare_set(board, source, base, trials, project(work, folder))


def link_environment(environment: Path, work: Path) -> None:
    """Let trials find nnU-Net's environment."""
    link = environment_of(work)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(environment, target_is_directory=True)


def main() -> None:
    """Run what is not finished, or write the page."""
    given = parse(sys.argv[1:])
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("experiments").setLevel("INFO")
    work = given.work.resolve()
    if given.page:
        from experiments.leaderboard.board import publish  # needs matplotlib

        publish([place / "results" for place in (work, *given.beside)])
        return
    began = time.perf_counter()
    settings = Settings(
        given.seconds,
        given.device,
        given.lanes,
        given.width,
        TRIED[given.device],
        code=git_tags(HOME).get("git.commit", "")[:7] or "unknown",
    )
    tasks = chosen_tasks(given.only, given.seeds, peer=given.peer is not None)
    todo = pending(tasks, work)
    log.info("%d trials, %d of them finished", len(tasks), len(tasks) - len(todo))
    if given.peer:
        link_environment(given.peer.absolute(), work)
    prepare_all(todo, given.data.resolve(), settings, work)
    spent = time.perf_counter() - began
    log.info("prepared after %.0f s", spent)
    rest = run_lanes(todo, settings, work, until=given.until - spent)
    log.info("%d of %d have results", len(tasks) - len(rest), len(tasks))
    if rest:
        sys.exit(f"{len(rest)} trials have no result")


if __name__ == "__main__":
    main()
