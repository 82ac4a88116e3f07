"""Scratch: a study as a person makes it, by the commands that a person types."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from experiments.everything.sets import Set
from segpipe.project.documents import write_json, write_text

SEGPIPE = (sys.executable, "-m", "segpipe")
DVC = (sys.executable, "-m", "dvc")


def make_study(one: Set, source: Path, study: Path, params: dict[str, Any]) -> None:
    """Make the study of a set and import its cases, unless it is there already.

    Args:
        one: The set.
        source: Folder of the whole set.
        study: Folder to make.
        params: Its params.yaml, written each time.
    """
    if not (study / "study.json").is_file():
        study.parent.mkdir(parents=True, exist_ok=True)
        call(*SEGPIPE, "init", str(study), where=study.parent)
    if not (study / "data.dvc").is_file():
        with tempfile.TemporaryDirectory() as name:
            part = Path(name) / one.folder  # whose name the report shows
            words = link_cases(one.choose(source), source, part)
            replace = ("--replace",) if (study / "data").is_dir() else ()
            words = (*words, *one.words, *replace)
            call(*SEGPIPE, "import", str(part), *words, where=study)
        call(*DVC, "add", "data", where=study)
    write_json(study / "params.yaml", params)  # JSON is YAML


def link_cases(cases: dict[str, str], source: Path, folder: Path) -> tuple[str, ...]:
    """Make a folder with some cases of a set; returns the words that describe it.

    Args:
        cases: Case to its group.
        source: Folder of the whole set, with the folders images and labels.
        folder: Folder to make.
    """
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
        for file in (source / part).resolve().iterdir():
            if file.name.split(".")[0] in cases:
                (folder / part / file.name).symlink_to(file)
    lines = [f"{case},{case},{group}\n" for case, group in cases.items()]
    write_text(folder / "patients.csv", "case,patient,group\n" + "".join(lines))
    patients = str(folder / "patients.csv")
    return ("--images", "images", "--labels", "labels", "--patients", patients)


def call(*words: str, where: Path) -> None:
    """Run a command in a folder; its words go where this process has its own."""
    subprocess.run(words, cwd=where, env=environment(), check=True)


def environment() -> dict[str, str]:
    """The environment in which ``python`` is this one, and says each line at once."""
    binaries = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONUNBUFFERED": "1",
        "DVC_NO_ANALYTICS": "1",
        "OMP_NUM_THREADS": "1",
    }
