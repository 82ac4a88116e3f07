"""Repro: `dvc repro` in a study, watched: what ran, what it took, and what failed."""

import json
import logging
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from experiments.everything.scratch import DVC, environment
from segpipe.project.documents import write_json

log = logging.getLogger(__name__)
RUNS = re.compile(r"^Running stage '([^']+)'")
FAILS = re.compile(r"failed to run: ")
FAILED = re.compile(r"failed to reproduce(?: stages:)? '.*")


@dataclass
class Watch:
    """What the lines of `dvc repro` say.

    Attributes:
        stages: Number of all stages.
        seconds: Stage that ran to the CPU seconds of its processes.
        failed: Stages that ended with an error.
    """

    stages: int
    seconds: dict[str, float] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    _now: str | None = None
    _began: float = 0.0

    def hear(self, line: str, clock: float) -> bool:
        """Take a line of its output; returns whether a stage ended there.

        Args:
            line: The line.
            clock: CPU seconds of all stages until now.
        """
        if FAILS.search(line):
            self._now = None
        if found := FAILED.search(line):
            self.failed += re.findall(r"'([^']+)'", found[0])
        begins = RUNS.match(line)
        if not begins:
            return False
        ended = self.end(clock)
        self._now, self._began = begins[1], clock
        log.info("%s, stage %d of %d", self._now, len(self.seconds) + 1, self.stages)
        return ended

    def end(self, clock: float) -> bool:
        """Count the seconds of the stage that ran last, if any did and did not fail."""
        if self._now is None:
            return False
        self.seconds[self._now] = clock - self._began
        self._now = None
        return True


def reproduce(study: Path, *, stages: int) -> Watch:
    """Run `dvc repro` until nothing more can be done.

    The seconds of each stage are kept in ``seconds.json`` of the study and the output
    in ``repro.log``, so that a run that goes on knows those of the one before.

    Args:
        study: Folder of the study.
        stages: Number of all stages, for the progress.
    """
    watch = Watch(stages)
    words = [*DVC, "repro", "--keep-going"]
    with (
        (study / "repro.log").open("a", encoding="utf-8") as kept,
        subprocess.Popen(
            words,
            cwd=study,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            kept.write(line)
            kept.flush()
            if watch.hear(line, _spent(process.pid)):
                _keep(study, watch)
        watch.end(_spent(process.pid))
    _keep(study, watch)
    if process.returncode and not watch.failed:
        watch.failed.append(f"dvc repro (status {process.returncode})")
    return watch


def _spent(pid: int) -> float:
    """CPU seconds of the ended children of a process, and of theirs."""
    times = psutil.Process(pid).cpu_times()
    return float(times.children_user + times.children_system)


def _keep(study: Path, watch: Watch) -> None:
    write_json(study / "seconds.json", {**read_seconds(study), **watch.seconds})


def read_seconds(study: Path) -> dict[str, float]:
    """CPU seconds that each stage took when it ran last."""
    file = study / "seconds.json"
    known: dict[str, float] = {}
    if file.is_file():
        known = json.loads(file.read_text(encoding="utf-8"))
    return known
