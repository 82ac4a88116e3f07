"""Every network that can be named, by the real `dvc repro`, from images to a report.

Two studies are made as a person makes them, one of images and one of volumes, whose
params.yaml has a model for each network. `dvc repro` runs in each, and once more, when
nothing may run but the look at the code. Where a stage fails all others still run; the
failed ones are named, and the next call goes on from there.
"""

import argparse
import logging
import sys
from pathlib import Path

from experiments.everything.page import write_everything
from experiments.everything.repro import reproduce
from experiments.everything.scratch import make_study
from experiments.everything.sets import SETS, Set
from experiments.trials import HOME

log = logging.getLogger("experiments.everything")
ONCE = 8  # stages that are not of a model
OF_MODEL = 3  # train, predict and evaluate


def parse(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.everything",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m experiments.everything ~/sets",
    )
    add = parser.add_argument
    add("data", type=Path, help="folder of the sets")
    add("--work", type=Path, default=HOME / ".experiments" / "everything")
    add("--only", nargs="+", default=[], metavar="MODEL", help="and write no page")
    return parser.parse_args(words)


def run_set(one: Set, source: Path, study: Path, only: list[str]) -> list[str]:
    """Make the study of a set and run it twice; returns what went wrong."""
    params = one.build_params(only)
    if not params["models"]:
        return []
    make_study(one, source / one.folder, study, params)
    stages = ONCE + OF_MODEL * len(params["models"])
    first = reproduce(study, stages=stages)
    if first.failed:
        return [f"{study}: {stage} failed; see repro.log" for stage in first.failed]
    again = reproduce(study, stages=stages)
    more = [stage for stage in again.seconds if stage != "code"]
    return [f"{study}: {stage} ran a second time" for stage in more + again.failed]


def main() -> None:
    """Run both sets, and write docs/experiments/everything.md if all went well."""
    given = parse(sys.argv[1:])
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("experiments").setLevel("INFO")
    work, source = given.work.resolve(), given.data.resolve()
    studies = {f"{one.title}: {one.folder}": work / one.folder for one in SETS}
    faults = []
    for one in SETS:
        faults += run_set(one, source, work / one.folder, given.only)
    for fault in faults:
        log.error("%s", fault)
    if faults:
        sys.exit(1)
    if not given.only:
        write_everything(studies)


if __name__ == "__main__":
    main()
